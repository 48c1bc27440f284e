//! What a link does to datagrams: loss, duplication, reordering, delay, a size limit and a rate.

use std::time::Duration;

/// The behaviour of one direction of a path. Probabilities are in `0.0..=1.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Probability that a datagram vanishes.
    pub loss: f64,
    /// Probability that a datagram arrives a second time, after a delay of its own.
    pub duplication: f64,
    /// Probability that a datagram leaves the queue's order: it is late by up to [`Link::reorder_delay`] more, and those
    /// sent after it overtake it. All others arrive in the order they were sent.
    pub reorder: f64,
    /// The most a reordered datagram is late beyond the ordinary delay.
    pub reorder_delay: Duration,
    /// Least time from sending to arrival.
    pub delay_min: Duration,
    /// Largest ordinary time from sending to arrival; the difference to `delay_min` is jitter.
    pub delay_max: Duration,
    /// Largest payload in bytes that passes; a longer one is dropped.
    pub mtu: usize,
    /// Bits a second this direction carries; `None` is unlimited. What would wait longer than [`Link::RATE_QUEUE`] is
    /// dropped.
    pub rate: Option<u64>,
}

impl Link {
    /// The longest a datagram waits for a rate-limited link before it is dropped instead.
    pub const RATE_QUEUE: Duration = Duration::from_millis(200);

    /// Ten milliseconds of delay and nothing else.
    pub const PERFECT: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        reorder: 0.0,
        reorder_delay: Duration::ZERO,
        delay_min: Duration::from_millis(10),
        delay_max: Duration::from_millis(10),
        mtu: 65_507,
        rate: None,
    };

    /// 20 % loss, 20 % duplication, 20 % reordering by up to 150 ms, 5 to 50 ms of delay.
    pub const HOSTILE: Self = Self {
        loss: 0.2,
        duplication: 0.2,
        reorder: 0.2,
        reorder_delay: Duration::from_millis(150),
        delay_min: Duration::from_millis(5),
        delay_max: Duration::from_millis(50),
        mtu: 65_507,
        rate: None,
    };

    /// The same link with another loss.
    #[must_use]
    pub const fn with_loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// The same link with a fixed delay and no jitter.
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay_min = delay;
        self.delay_max = delay;
        self
    }

    /// The same link with another size limit in bytes.
    #[must_use]
    pub const fn with_mtu(mut self, mtu: usize) -> Self {
        self.mtu = mtu;
        self
    }

    /// The same link limited to `bits_per_second`.
    #[must_use]
    pub const fn with_rate(mut self, bits_per_second: u64) -> Self {
        self.rate = Some(bits_per_second);
        self
    }
}
