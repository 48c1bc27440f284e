//! Weeks of a tunnel's life, a minute at a time.

use super::*;
use std::time::Duration;

const MINUTES_OF_WEEK: usize = 7 * 24 * 60;
/// A Monday, 00:00 UTC.
const MONDAY: f64 = 1_764_547_200.0;

fn peer() -> PeerName {
    PeerName::from("site-b")
}

/// A tunnel that is busy on weekdays from 8 to 18 h and quiet otherwise.
struct Office {
    totals: Totals,
    minute: usize,
    baselines: Baselines,
}

impl Office {
    fn new() -> Self {
        Self { totals: Totals::default(), minute: 0, baselines: Baselines::default() }
    }

    fn wall(&self) -> f64 {
        MONDAY + self.minute as f64 * 60.0
    }

    fn minute(&mut self, packets: u64, lost: u64, rtt: u64, up: bool) {
        self.minute += 1;
        self.totals.packets_in += packets;
        self.totals.packets_out += packets;
        self.totals.bytes_in += packets * 1000;
        self.totals.bytes_out += packets * 100;
        self.totals.expected_in += packets + lost;
        let rtt = Some(Duration::from_millis(rtt));
        let observation = Observation { totals: self.totals, rtt, up };
        let wall = self.wall();
        self.baselines.observe(&BTreeMap::from([(peer(), observation)]), wall);
    }

    fn usual_minute(&mut self) {
        let hour = self.minute / 60 % 24;
        let weekday = self.minute / 60 / 24 % 7 < 5;
        let jitter = self.minute as u64 % 7;
        let packets = if weekday && (8..18).contains(&hour) { 6000 + jitter * 60 } else { 60 };
        self.minute(packets, 0, 20 + jitter % 2, true);
    }

    fn weeks(&mut self, weeks: usize) {
        for _ in 0..weeks * MINUTES_OF_WEEK {
            self.usual_minute();
        }
    }

    fn normal(&self) -> Normal {
        self.baselines.normal(&peer(), self.wall()).expect("known")
    }

    fn of(&self, quantity: Quantity) -> Comparison {
        *self.normal().comparisons.iter().find(|comparison| comparison.quantity == quantity).expect("known")
    }
}

#[test]
fn the_hour_of_the_week_is_learnt_in_three_weeks_and_until_then_the_nearest_that_is_known() {
    let mut office = Office::new();
    assert_eq!(office.baselines.normal(&peer(), MONDAY), None);
    for _ in 0..3 * 60 + 1 {
        office.usual_minute();
    }
    assert_eq!(office.normal().basis, Basis::AnyHour, "three hours are the least");
    for _ in 0..3 * 24 * 60 {
        office.usual_minute();
    }
    assert_eq!(office.normal().basis, Basis::HourOfDay);
    office.weeks(3);
    let normal = office.normal();
    assert_eq!((normal.basis, normal.hours), (Basis::HourOfWeek, 3));
    office.weeks(20);
    assert_eq!(office.normal().hours, WEEKS, "bounded");
}

#[test]
fn a_quiet_night_is_normal_and_a_quiet_monday_noon_is_not() {
    let mut office = Office::new();
    office.weeks(4);
    for _ in 0..12 * 60 {
        office.usual_minute();
    }
    let noon = office.of(Quantity::PacketsIn);
    assert!((99.0..107.0).contains(&noon.median), "{noon:?}");
    assert!(!noon.is_unusual(), "{noon:?}");
    office.minute(60, 0, 20, true);
    assert!(office.of(Quantity::PacketsIn).is_unusual());
    assert!(office.of(Quantity::PacketsIn).deviation().expect("measured") < -6.0);
    let rtt = office.of(Quantity::Rtt);
    assert!(!rtt.is_unusual(), "{rtt:?}");
    for _ in 0..12 * 60 {
        office.usual_minute();
    }
    let midnight = office.of(Quantity::PacketsIn);
    assert!((midnight.median - 1.0).abs() < 0.01 && !midnight.is_unusual(), "{midnight:?}");
}

#[test]
fn loss_and_a_long_way_are_unusual_and_less_of_them_is_not() {
    let mut office = Office::new();
    office.weeks(3);
    office.minute(6000, 300, 120, true);
    let (loss, rtt) = (office.of(Quantity::Loss), office.of(Quantity::Rtt));
    assert!((loss.now.expect("measured") - 300.0 / 6300.0).abs() < 1e-9 && loss.is_unusual(), "{loss:?}");
    assert!(rtt.is_unusual(), "{rtt:?}");
    office.minute(6000, 0, 1, true);
    assert!(!office.of(Quantity::Loss).is_unusual() && !office.of(Quantity::Rtt).is_unusual());
    office.minute(5, 5, 20, true);
    assert_eq!(office.of(Quantity::Loss).now, None, "ten packets tell nothing");
}

#[test]
fn an_outage_a_restart_and_a_sleep_teach_nothing() {
    let mut office = Office::new();
    office.weeks(3);
    let before = office.of(Quantity::PacketsIn).median;
    for _ in 0..120 {
        office.minute(0, 0, 20, false);
    }
    assert_eq!(office.of(Quantity::PacketsIn).now, None);
    office.totals = Totals::default();
    office.minute(0, 0, 20, true);
    assert_eq!(office.of(Quantity::PacketsIn).now, None, "counters that fell");
    office.minute += 60;
    office.minute(600_000, 0, 20, true);
    assert_eq!(office.of(Quantity::PacketsIn).now, None, "an hour without a look");
    office.minute += MINUTES_OF_WEEK - 60 - 123;
    office.minute(60, 0, 20, true);
    assert_eq!(office.of(Quantity::PacketsIn).median, before);
}

#[test]
fn baselines_survive_a_restart_and_what_is_out_of_bounds_does_not() {
    let mut office = Office::new();
    office.weeks(8);
    let saved = office.baselines.save();
    let restored = Baselines::restore(saved.as_bytes()).expect("what was saved");
    assert_eq!(restored.save(), saved);
    let normal = restored.normal(&peer(), office.wall()).expect("known");
    assert_eq!((normal.basis, normal.hours), (Basis::HourOfWeek, WEEKS));
    assert!(saved.len() < 200_000, "{} bytes a tunnel", saved.len());

    let refused = [
        ("", "no file of baselines"),
        ("{\"schema_version\":2,\"tunnels\":{}}", "schema_version 2"),
        ("{\"schema_version\":1,\"tunnels\":{\"a\":{\"0\":[[1]]}}}", "no file of baselines"),
    ];
    for (text, message) in refused {
        let error = Baselines::restore(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    let digest = "[[1.0,-1.0],null,null,null,null,null]";
    let strange = format!("{{\"schema_version\":1,\"tunnels\":{{\"a\":{{\"999\":[],\"5\":[{digest}]}}}}}}");
    let restored = Baselines::restore(strange.as_bytes()).expect("readable");
    assert_eq!(restored.save(), "{\"schema_version\":1,\"tunnels\":{\"a\":{\"5\":[]}}}");
}

#[test]
fn a_tunnel_that_is_not_configured_any_more_is_forgotten_and_their_number_is_bounded() {
    let mut office = Office::new();
    office.weeks(3);
    office.baselines.observe(&BTreeMap::new(), office.wall());
    assert_eq!(office.baselines.normal(&peer(), office.wall()), None);
    let many =
        (0..MOST_TUNNELS + 10).map(|index| (PeerName::from(format!("t{index}").as_str()), Observation::default()));
    office.baselines.observe(&many.collect(), office.wall());
    assert_eq!(office.baselines.tunnels.len(), MOST_TUNNELS);
}
