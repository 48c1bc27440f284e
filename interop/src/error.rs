//! Why a lab could not be set up or did not show what it promises.

/// Why a lab failed.
#[derive(Debug)]
pub enum LabError {
    /// Something of the lab itself broke: a tool, a namespace, a file. Says nothing about the product.
    Harness(String),
    /// What the lab promises did not hold.
    Broken(String),
    /// The machine was too busy for the lab to say anything: the peer's sockets overflowed. It is repeated then.
    Busy(String),
    /// The lab took longer than it may, or was stopped by the watchdog.
    TimedOut(String),
}

impl LabError {
    /// The lab itself broke while doing `what`.
    pub fn harness(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Harness(format!("{what}: {error}"))
    }
}

impl std::fmt::Display for LabError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Harness(what) => write!(f, "the lab itself failed: {what}"),
            Self::Broken(what) => write!(f, "{what}"),
            Self::Busy(what) => write!(f, "the machine is too busy: {what}"),
            Self::TimedOut(what) => write!(f, "timed out: {what}"),
        }
    }
}

impl std::error::Error for LabError {}

/// `Ok` if `condition` holds, else what did not.
pub fn ensure(condition: bool, what: impl FnOnce() -> String) -> Result<(), LabError> {
    if condition { Ok(()) } else { Err(LabError::Broken(what())) }
}
