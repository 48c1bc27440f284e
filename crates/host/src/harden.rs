//! Keeping secrets in this process: no core dumps, no debugger of the same user.

use std::io;

use crate::sys::process;

/// Refuses core dumps of this process from now on (`RLIMIT_CORE` 0 and `PR_SET_DUMPABLE` 0), because a dump holds every key. Call it
/// before a secret is read, and after entering a user namespace: `/proc/self/uid_map` cannot be written by a process that is not dumpable.
pub fn refuse_core_dumps() -> io::Result<()> {
    process::refuse_core_dumps()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn afterwards_the_process_is_not_dumpable() {
        refuse_core_dumps().unwrap();
        assert!(!process::is_dumpable().unwrap());
    }
}
