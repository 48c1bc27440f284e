//! Whether a tunnel still carries: what passes on it is proof for free, and only its absence is a question.
//!
//! ```text
//!        heard                       nothing heard for max(200 ms, 4 RTT)          no answer in time
//!  Carries ◄───────────────── Asking ◄───────────────────────────────── Carries ; Asking ──────────────► Suspect
//!  Suspect ── heard ──► Carries, in hold-down for 10 s x 2^n
//! ```
//!
//! Suspect is not dead: traffic goes elsewhere, the SAs stay, and when they go is decided by the peer's `dpd`. Only what is
//! authenticated counts as heard: ESP that opened, IKE that was verified.
//!
//! Questions are sent at 0, 100 and 150 ms, and the verdict is due at 250 ms. Where earlier questions were lost, more are sent
//! before the verdict, so that a lossy path is not taken for a broken one.

use std::time::{Duration, Instant};

/// Silence that becomes a question, at least; on long paths it is [`PATIENCE_RTTS`] round trips.
const PATIENCE: Duration = Duration::from_millis(200);
const PATIENCE_RTTS: u32 = 4;
/// When questions are sent, counted from the first; further ones each [`FURTHER`].
const QUESTIONS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(150), Duration::from_millis(250)];
const FURTHER: Duration = Duration::from_millis(100);
/// Questions before a verdict where none was ever lost, and at most.
const LEAST_QUESTIONS: u32 = 3;
const MOST_QUESTIONS: u32 = 16;
/// A verdict is wrong by loss alone no more often than this, in a million.
const WRONG_PER_MILLION: u64 = 1000;
/// How a suspect is asked further: less and less often.
const SUSPECT_FIRST: Duration = Duration::from_millis(250);
const SUSPECT_MOST: Duration = Duration::from_secs(2);
/// A suspect heard again so soon was none: the path is lossy.
const SOON: Duration = Duration::from_secs(2);
/// Hold-down after a suspicion, doubled for each that follows soon.
const HOLD: Duration = Duration::from_secs(10);
const MOST_DOUBLINGS: u32 = 6;
/// Traffic without a pause of this length is regular: when it stops, that is news.
const ACTIVE: Duration = Duration::from_secs(1);
/// How much of the last samples had traffic, in 1,024ths, for it to be regular.
const REGULAR: u32 = 512;

/// What a watch wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Ask the peer now.
    Ask,
    /// It does not carry any more.
    Suspect {
        /// For how long nothing was heard.
        silent: Duration,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Carries,
    Asking { since: Instant, sent: u32, next: Instant },
    Suspect { since: Instant, next: Instant, interval: Duration },
}

/// What is known of one tunnel's way.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    state: State,
    /// Since when we send and hear nothing.
    unanswered: Option<Instant>,
    heard: Instant,
    /// Share of the last samples in which something was heard, in 1,024ths.
    regularity: u32,
    /// The peer was sending regularly when it was heard last.
    expecting: bool,
    /// Smoothed round-trip time and its deviation (RFC 6298 §2).
    rtt: Option<(Duration, Duration)>,
    /// Share of questions that were lost, in 1,000ths.
    loss: u32,
    /// Suspicions in a row, and the hold-down that follows from them.
    flaps: u32,
    held_until: Option<Instant>,
    last_suspicion: Option<Instant>,
    active_until: Instant,
}

/// How a tunnel is to be treated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Health {
    /// Nothing speaks against it.
    Good,
    /// It was suspect lately.
    Held,
    /// It is being asked whether it carries.
    Asked,
    /// It does not carry.
    Suspect,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Watch {
        Watch {
            state: State::Carries,
            unanswered: None,
            heard: now,
            regularity: 0,
            expecting: false,
            rtt: None,
            loss: 0,
            flaps: 0,
            held_until: None,
            last_suspicion: None,
            active_until: now,
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self.state {
            State::Suspect { .. } => Health::Suspect,
            State::Asking { .. } => Health::Asked,
            State::Carries if self.held_until.is_some() => Health::Held,
            State::Carries => Health::Good,
        }
    }

    /// Smoothed round-trip time of questions and answers.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|(smoothed, _)| smoothed)
    }

    /// Until when it is not preferred although it carries.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Since when it is suspect.
    pub(crate) fn suspect_since(&self) -> Option<Instant> {
        match self.state {
            State::Suspect { since, .. } => Some(since),
            State::Carries | State::Asking { .. } => None,
        }
    }

    /// Whether packets have to be looked for: while there are any, or an answer is waited for.
    pub(crate) fn is_active(&self, now: Instant) -> bool {
        now < self.active_until || !matches!(self.state, State::Carries) || self.unanswered.is_some()
    }

    /// When something passed last, either way.
    pub(crate) fn last_traffic(&self) -> Instant {
        self.active_until.checked_sub(ACTIVE).unwrap_or(self.active_until)
    }

    /// Takes a sample: whether packets were sent, and authentic ones received, since the last.
    pub(crate) fn saw(&mut self, sent: bool, received: bool, now: Instant) {
        if sent || received {
            self.active_until = now + ACTIVE;
        }
        self.regularity = self.regularity * 7 / 8 + if received { 128 } else { 0 };
        if received {
            self.expecting = self.regularity >= REGULAR;
            self.heard(now);
        } else if sent && self.unanswered.is_none() {
            self.unanswered = Some(now);
        }
    }

    /// The first packet after a pause is sent.
    pub(crate) fn began(&mut self, now: Instant) {
        self.saw(true, false, now);
    }

    /// Something authentic came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.unanswered = None;
        match std::mem::replace(&mut self.state, State::Carries) {
            State::Carries => {}
            State::Asking { sent, .. } => self.lost(sent.saturating_sub(1), sent),
            State::Suspect { since, .. } => {
                if now.saturating_duration_since(since) < SOON {
                    self.lost(1, 1);
                }
                self.hold(now);
            }
        }
    }

    /// A question was answered by IKE itself: what [`Self::heard`] knows, and how long it took.
    pub(crate) fn answered(&mut self, now: Instant) {
        // Which of several questions an answer belongs to cannot be told (RFC 6298 §3).
        if let State::Asking { since, sent: 1, .. } = self.state {
            self.measured(now.saturating_duration_since(since));
        }
        self.heard(now);
    }

    fn measured(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((smoothed, deviation)) => {
                (smoothed * 7 / 8 + sample / 8, deviation * 3 / 4 + smoothed.abs_diff(sample) / 4)
            }
        });
    }

    fn lost(&mut self, lost: u32, of: u32) {
        let sample = lost.saturating_mul(1000) / of.max(1);
        self.loss = self.loss * 7 / 8 + sample / 8;
    }

    /// A suspicion is over, or the tunnel fell for another reason: not to be preferred for a while.
    fn hold(&mut self, now: Instant) {
        self.held_until = Some(now + HOLD * 2u32.pow(self.flaps));
    }

    /// The SAs are gone although nobody asked for it.
    pub(crate) fn fell(&mut self, now: Instant) {
        self.suspected(now);
        self.state = State::Carries;
        self.unanswered = None;
        self.expecting = false;
        self.hold(now);
    }

    /// There are SAs to send on again.
    pub(crate) fn came_up(&mut self, now: Instant) {
        self.heard = now;
        self.unanswered = None;
        self.expecting = false;
    }

    /// Whether a hold-down is over since the last call.
    pub(crate) fn release(&mut self, now: Instant) -> bool {
        self.held_until.take_if(|until| *until <= now).is_some()
    }

    pub(crate) fn was_heard_within(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < time
    }

    /// Remembers a suspicion for the length of the next hold-down.
    fn suspected(&mut self, now: Instant) {
        let lately = HOLD * 2u32.pow(self.flaps) * 4;
        let again = self.last_suspicion.is_some_and(|last| now.saturating_duration_since(last) < lately);
        self.flaps = if again { (self.flaps + 1).min(MOST_DOUBLINGS) } else { 0 };
        self.last_suspicion = Some(now);
    }

    /// Silence that becomes a question.
    fn patience(&self) -> Duration {
        self.rtt.map_or(PATIENCE, |(smoothed, _)| PATIENCE.max(smoothed * PATIENCE_RTTS))
    }

    /// When an answer should have come, from the first question on (RFC 6298 §2.3).
    fn answer_time(&self) -> Duration {
        self.rtt.map_or(Duration::ZERO, |(smoothed, deviation)| smoothed + deviation * 4)
    }

    /// How many questions may all be lost by chance no more often than [`WRONG_PER_MILLION`].
    fn questions(&self) -> u32 {
        let (mut count, mut chance) = (0, 1_000_000);
        while chance > WRONG_PER_MILLION && count < MOST_QUESTIONS {
            chance = chance * u64::from(self.loss) / 1000;
            count += 1;
        }
        count.max(LEAST_QUESTIONS)
    }

    /// Asks now, whether or not there is silence: somebody wants to move here.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<Act> {
        if self.state != State::Carries {
            return None;
        }
        self.expecting = false;
        self.state = State::Asking { since: now, sent: 1, next: now + question(1) };
        Some(Act::Ask)
    }

    /// The question could not be sent: there is nobody to ask, and silence means nothing.
    pub(crate) fn cannot_ask(&mut self) {
        if matches!(self.state, State::Asking { .. }) {
            self.state = State::Carries;
        }
        self.unanswered = None;
    }

    /// When [`Self::act`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Carries => {
                let stopped = self.expecting.then_some(self.heard);
                [self.unanswered, stopped].into_iter().flatten().min().map(|since| since + self.patience())
            }
            State::Asking { next, .. } | State::Suspect { next, .. } => Some(next),
        }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, now: Instant) -> Option<Act> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        match self.state {
            State::Carries => self.ask(now),
            State::Asking { since, sent, .. } => {
                if sent < self.questions() {
                    self.state = State::Asking { since, sent: sent + 1, next: since + question(sent + 1) };
                    return Some(Act::Ask);
                }
                let verdict = since + self.answer_time();
                if verdict > now {
                    self.state = State::Asking { since, sent, next: verdict };
                    return None;
                }
                self.suspected(now);
                self.state = State::Suspect { since: now, next: now + SUSPECT_FIRST, interval: SUSPECT_FIRST };
                Some(Act::Suspect { silent: now.saturating_duration_since(self.heard) })
            }
            State::Suspect { since, interval, .. } => {
                let interval = (interval * 2).min(SUSPECT_MOST);
                self.state = State::Suspect { since, next: now + interval, interval };
                Some(Act::Ask)
            }
        }
    }
}

/// When question number `index` (from 0) is due, counted from the first.
fn question(index: u32) -> Duration {
    let last = QUESTIONS.len() as u32 - 1;
    let known = QUESTIONS.get(index.min(last) as usize).copied().unwrap_or_default();
    known + FURTHER * index.saturating_sub(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::moment;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Lets a watch act whenever it is due until `until`; returns what it did and when, from `start`.
    fn run(watch: &mut Watch, start: Instant, until: Instant) -> Vec<(u64, Act)> {
        let mut acts = Vec::new();
        while let Some(due) = watch.due().filter(|due| *due <= until) {
            if let Some(act) = watch.act(due) {
                acts.push(((due - start).as_millis() as u64, act));
            }
        }
        acts
    }

    #[test]
    fn silence_after_sending_is_asked_about_at_0_100_and_150_ms_and_decided_at_250() {
        let start = moment();
        let mut watch = Watch::new(start);
        watch.saw(true, false, start);
        let acts = run(&mut watch, start, start + ms(600));
        let silent = ms(450);
        assert_eq!(acts, [(200, Act::Ask), (300, Act::Ask), (350, Act::Ask), (450, Act::Suspect { silent })]);
        assert_eq!(watch.health(), Health::Suspect);
    }

    #[test]
    fn no_traffic_is_no_question_and_an_answer_ends_it() {
        let start = moment();
        let mut watch = Watch::new(start);
        assert_eq!(watch.due(), None);
        watch.saw(true, true, start);
        assert_eq!(watch.due(), None, "answered within a sample");
        watch.saw(true, false, start + ms(10));
        assert_eq!(watch.act(start + ms(210)), Some(Act::Ask));
        watch.answered(start + ms(230));
        assert_eq!((watch.due(), watch.health(), watch.rtt()), (None, Health::Good, Some(ms(20))));
    }

    #[test]
    fn regular_traffic_that_stops_is_asked_about_though_nothing_is_sent() {
        let start = moment();
        let mut watch = Watch::new(start);
        watch.saw(false, true, start);
        assert_eq!(watch.due(), None, "one packet is not a stream");
        for sample in 1..20 {
            watch.saw(false, true, start + ms(10 * sample));
        }
        assert_eq!(watch.act(start + ms(190 + 200)), Some(Act::Ask));
        watch.answered(start + ms(400));
        assert_eq!(watch.due(), None, "it stopped sending, that is all");
    }

    #[test]
    fn a_long_path_is_given_four_round_trips_and_its_answers_their_time() {
        let start = moment();
        let mut watch = Watch::new(start);
        watch.measured(ms(300));
        watch.saw(true, false, start);
        let acts = run(&mut watch, start, start + ms(3000));
        let asked: Vec<u64> = acts.iter().map(|(at, _)| *at).take(4).collect();
        assert_eq!(asked, [1200, 1300, 1350, 1200 + 300 + 4 * 150]);
    }

    #[test]
    fn where_questions_are_lost_more_are_asked_before_the_verdict() {
        let start = moment();
        let mut watch = Watch::new(start);
        assert_eq!(watch.questions(), 3);
        for _ in 0..40 {
            watch.lost(1, 2);
        }
        let count = watch.questions();
        assert!((8..=12).contains(&count), "{count} at a loss of {} in 1,000", watch.loss);
        watch.loss = 1000;
        assert_eq!(watch.questions(), MOST_QUESTIONS);
    }

    #[test]
    fn hold_down_doubles_while_suspicions_follow_each_other_and_starts_over_after_peace() {
        let start = moment();
        let mut watch = Watch::new(start);
        let mut now = start;
        for doubled in [1, 2, 4, 8] {
            watch.suspected(now);
            watch.state = State::Suspect { since: now, next: now, interval: SUSPECT_FIRST };
            now += ms(5000);
            watch.heard(now);
            assert_eq!(watch.held_until(), Some(now + HOLD * doubled));
            assert!(!watch.release(now) && watch.health() == Health::Held);
            now += HOLD * doubled;
            assert!(watch.release(now) && watch.health() == Health::Good);
        }
        now += HOLD * 64;
        watch.suspected(now);
        assert_eq!(watch.flaps, 0);
    }

    #[test]
    fn a_suspect_is_asked_less_and_less_often() {
        let start = moment();
        let mut watch = Watch::new(start);
        watch.saw(true, false, start);
        let acts = run(&mut watch, start, start + ms(10_000));
        let asked: Vec<u64> = acts.iter().skip(4).map(|(at, _)| *at).collect();
        assert_eq!(asked, [700, 1200, 2200, 4200, 6200, 8200]);
    }
}
