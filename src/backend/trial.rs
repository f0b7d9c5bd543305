//! Where the tests of killed processes stop one: a debug build parks at the checkpoint that `SANDPORT_TRIAL_STOP`
//! names, after writing its name to the file that `SANDPORT_TRIAL_FILE` names. A release build knows nothing of it.

/// One place at which a test may want this process to die.
#[cfg(debug_assertions)]
pub(crate) fn checkpoint(place: &str) {
    if std::env::var_os("SANDPORT_TRIAL_STOP").is_none_or(|stop| stop != place) {
        return;
    }
    if let Some(path) = std::env::var_os("SANDPORT_TRIAL_FILE")
        && std::fs::write(path, place).is_ok()
    {
        loop {
            std::thread::park();
        }
    }
}

/// One place at which a test may want this process to die: nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn checkpoint(_place: &str) {}
