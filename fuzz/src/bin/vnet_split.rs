//! A TUN read with a hostile offload header: splitting never panics, and every segment is a whole packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packet::IpView;
use packet::offload::{Segments, VnetHeader};

fuzz_target!(|data: &[u8]| {
    let Ok((header, raw)) = VnetHeader::parse(data) else {
        return;
    };
    assert_eq!(header.encode(), data[..10]);
    let Ok(segments) = Segments::new(&header, raw) else {
        return;
    };
    assert!(segments.count() >= 1);
    let mut out = vec![0; 65_535];
    let longest = segments.segment_len(0);
    let mut payload = 0;
    for index in 0..segments.count() {
        let length = segments.segment_len(index);
        assert!(length > 0 && length <= longest);
        assert_eq!(segments.write(index, &mut out), length);
        assert_eq!(segments.write(index, &mut out[..length - 1]), 0, "too short a buffer");
        let view = IpView::parse(&out[..length]).expect("a segment of ours parses");
        assert_eq!(view.total_len(), length);
        payload += length;
    }
    assert!(payload >= IpView::parse(raw).map_or(0, |view| view.total_len()));
    assert_eq!(segments.segment_len(segments.count()), 0);
    if let Some(unchanged) = segments.unchanged() {
        assert_eq!(unchanged, &out[..segments.segment_len(0)]);
    }
});
