//! What a rule found, and everything found, ranked: the lowest broken layer first, and above it nothing, because what
//! stands on something broken cannot be judged.

use crate::catalogue::position;
use crate::code::{Code, Layer};
use crate::text::masked;
use serde::Serialize;

/// Lines of evidence of one finding.
const MOST_LINES: usize = 8;

/// Whether it breaks something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Something does not work because of it.
    Fault,
    /// It works, and deserves a look.
    Advice,
}

/// How sure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The evidence allows nothing else.
    Certain,
    /// By far the most frequent cause of this evidence.
    Likely,
    /// One of several.
    Possible,
}

impl Confidence {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        }
    }
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// The layer of the code.
    pub layer: Layer,
    /// The connection it concerns; none concerns the gateway as a whole.
    pub tunnel: Option<String>,
    /// Whether it breaks something.
    pub weight: Weight,
    /// How sure.
    pub confidence: Confidence,
    /// What is wrong, in one line.
    pub line: String,
    /// What shows it, with times and both ends' values.
    pub evidence: Vec<String>,
    /// What to do here.
    pub fix: String,
    /// What to write to the other side; empty where it has no part in it.
    pub tell: String,
}

impl Finding {
    /// A certain fault, in the words of the catalogue.
    pub fn new(code: Code) -> Finding {
        let entry = code.entry();
        Finding {
            code,
            layer: entry.layer,
            tunnel: None,
            weight: Weight::Fault,
            confidence: Confidence::Certain,
            line: entry.line.to_owned(),
            evidence: Vec::new(),
            fix: entry.fix.to_owned(),
            tell: entry.tell.to_owned(),
        }
    }

    /// Of a connection.
    #[must_use]
    pub fn of(mut self, tunnel: &str) -> Finding {
        self.tunnel = Some(masked(tunnel));
        self
    }

    /// With another confidence.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Finding {
        self.confidence = confidence;
        self
    }

    /// Something to look at rather than a fault.
    #[must_use]
    pub fn advice(mut self) -> Finding {
        self.weight = Weight::Advice;
        self
    }

    /// With what shows it.
    #[must_use]
    pub fn shown_by(mut self, line: impl AsRef<str>) -> Finding {
        if self.evidence.len() < MOST_LINES {
            self.evidence.push(masked(line.as_ref()));
        }
        self
    }

    /// With several lines of it.
    #[must_use]
    pub fn shown_by_all<T: AsRef<str>>(self, lines: impl IntoIterator<Item = T>) -> Finding {
        lines.into_iter().fold(self, |finding, line| finding.shown_by(line))
    }

    /// With what to do in this case.
    #[must_use]
    pub fn fix(mut self, fix: impl AsRef<str>) -> Finding {
        self.fix = masked(fix.as_ref());
        self
    }

    fn rank(&self) -> (Weight, Layer, Confidence, usize, Option<&str>) {
        (self.weight, self.layer, self.confidence, position(self.code), self.tunnel.as_deref())
    }
}

/// What became of one connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// The connection.
    pub tunnel: String,
    /// Its state as the gateway says, if it says.
    pub state: Option<String>,
    /// The code of what is broken, if anything is.
    pub fault: Option<Code>,
    /// Layers above it.
    pub not_checked: Vec<Layer>,
    /// Why they were not.
    pub because: Option<String>,
}

/// Everything found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// Counts up when a field changes its meaning.
    pub schema_version: u32,
    /// When the evidence was collected.
    pub taken: Option<String>,
    /// What was found, the first to mend first.
    pub findings: Vec<Finding>,
    /// Each connection.
    pub tunnels: Vec<Verdict>,
    /// What could not be looked at, and why.
    pub not_known: Vec<String>,
}

impl Report {
    /// Of what the rules found about these connections.
    pub(crate) fn rank(
        mut found: Vec<Finding>,
        tunnels: Vec<(String, Option<String>)>,
        taken: Option<String>,
        not_known: Vec<String>,
    ) -> Report {
        found.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let whole = found.iter().find(|finding| blocks(finding) && finding.tunnel.is_none()).map(|f| (f.layer, f.code));
        let mut verdicts = Vec::new();
        for (tunnel, state) in tunnels {
            let tunnel = masked(&tunnel);
            let own = found.iter().find(|f| f.weight == Weight::Fault && f.tunnel.as_deref() == Some(tunnel.as_str()));
            let own = own.map(|finding| (finding.layer, finding.code));
            let fault = match (whole, own) {
                (Some(whole), Some(own)) if own.0 < whole.0 => Some(own),
                (Some(whole), _) => Some(whole),
                (None, own) => own,
            };
            let above = fault.map(|(layer, _)| Layer::ALL.into_iter().filter(|other| *other > layer).collect());
            verdicts.push(Verdict {
                tunnel,
                state: state.map(|state| masked(&state)),
                fault: fault.map(|(_, code)| code),
                not_checked: above.unwrap_or_default(),
                because: fault.map(|(layer, code)| format!("{layer} comes first ({code})")),
            });
        }
        found.retain(|finding| !stands_on_something_broken(finding, whole, &verdicts));
        Report {
            schema_version: 1,
            taken,
            findings: found,
            tunnels: verdicts,
            not_known: not_known.iter().map(|line| masked(line)).collect(),
        }
    }

    /// The code to mend first.
    pub fn first(&self) -> Option<Code> {
        self.findings.first().map(|finding| finding.code)
    }
}

/// A fault of the gateway as a whole that no tunnel can do without.
fn blocks(finding: &Finding) -> bool {
    finding.weight == Weight::Fault && finding.layer == Layer::Configuration
}

/// Whether a lower layer of the same tunnel is broken. Advice is given all the same: it is no consequence.
fn stands_on_something_broken(finding: &Finding, whole: Option<(Layer, Code)>, verdicts: &[Verdict]) -> bool {
    if finding.weight == Weight::Advice {
        return false;
    }
    match &finding.tunnel {
        Some(tunnel) => {
            let verdict = verdicts.iter().find(|verdict| verdict.tunnel == *tunnel);
            verdict.is_some_and(|verdict| verdict.not_checked.contains(&finding.layer))
        }
        None => whole.is_some_and(|(layer, _)| finding.layer > layer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::*;

    fn rank(found: Vec<Finding>) -> Report {
        let tunnels = ["a", "b"].map(|name| (name.to_owned(), None)).to_vec();
        Report::rank(found, tunnels, None, Vec::new())
    }

    #[test]
    fn the_lowest_broken_layer_is_first_and_what_stands_on_it_is_not_said() {
        let report = rank(vec![
            Finding::new(RTE_01).of("a"),
            Finding::new(IKE_02).of("a"),
            Finding::new(ESP_01).of("b"),
            Finding::new(CFG_12).of("b").advice(),
        ]);
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
        assert_eq!(codes, ["IKE-02", "ESP-01", "CFG-12"]);
        let of_a = &report.tunnels[0];
        assert_eq!(of_a.because.as_deref(), Some("IKE (phase 1) comes first (IKE-02)"));
        assert!(of_a.not_checked.contains(&Layer::Routing) && !of_a.not_checked.contains(&Layer::Network));
        assert_eq!(report.tunnels[1].fault, Some(ESP_01));
    }

    #[test]
    fn a_gateway_that_cannot_start_explains_every_tunnel() {
        let report = rank(vec![Finding::new(IKE_02).of("a"), Finding::new(CFG_02), Finding::new(RTE_03)]);
        assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [CFG_02]);
        assert!(report.tunnels.iter().all(|verdict| verdict.fault == Some(CFG_02)));
    }

    #[test]
    fn causes_stand_before_symptoms_and_certainty_before_guesses() {
        let guess = Finding::new(IKE_02).of("a").confidence(Confidence::Possible);
        let report = rank(vec![guess, Finding::new(IKE_10).of("a"), Finding::new(IKE_04).of("a")]);
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
        assert_eq!(codes, ["IKE-04", "IKE-10", "IKE-02"]);
    }
}
