//! Where the tests of killed processes stop one: a debug build parks at the checkpoint that `SANDPORT_TRIAL_STOP`
//! names, after writing its name to the file that `SANDPORT_TRIAL_FILE` names, until it is killed or that file is
//! removed. A release build knows nothing of it.

/// One place at which a test may want this process to die or to pause.
#[cfg(debug_assertions)]
pub(crate) fn checkpoint(place: &str) {
    if std::env::var_os("SANDPORT_TRIAL_STOP").is_none_or(|stop| stop != place) {
        return;
    }
    if let Some(path) = std::env::var_os("SANDPORT_TRIAL_FILE")
        && std::fs::write(&path, place).is_ok()
    {
        while std::path::Path::new(&path).exists() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// One place at which a test may want this process to die: nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn checkpoint(_place: &str) {}
