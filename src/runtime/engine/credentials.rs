//! What this user has logged in to: `config.json` of the docker command, its plain entries and its helpers.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::runtime::command;

/// Docker Hub's key in `config.json`.
const HUB: &str = "https://index.docker.io/v1/";
/// Most bytes of `config.json` and of a helper's answer.
const FILE_BYTES: u64 = 1 << 20;
/// How long a helper may take, since it can ask a key ring.
const HELPER_TIME: Duration = Duration::from_secs(10);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// A helper's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    #[serde(default)]
    username: String,
    secret: String,
}

/// A login, ready for the header `X-Registry-Auth`; never printed.
pub(super) struct Login {
    pub header: String,
    /// What must not show in anything the engine says.
    pub secret: String,
}

/// The folder of the docker command's own files.
pub(crate) fn docker_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))
}

/// The login for a registry, where this user has one. What cannot be read counts as none, with a line in the log:
/// most images are public.
pub(super) fn login(call: &Call, registry: &str) -> Option<Login> {
    let text = read(docker_folder()?.join("config.json"))?;
    let Ok(file) = serde_json::from_slice::<File>(&text) else {
        log::warn!(target: "sandport", "the docker command's config.json cannot be read; pulling without a login");
        return None;
    };
    find(&file, registry, |helper, key| ask(call, helper, key))
}

fn read(path: PathBuf) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

/// The login as the docker command would choose it: the registry's helper, the store, then the file.
fn find(file: &File, registry: &str, ask: impl Fn(&str, &str) -> Option<Helped>) -> Option<Login> {
    let key = if registry == "docker.io" { HUB } else { registry };
    let helper = file.cred_helpers.get(key).or(file.creds_store.as_ref());
    if let Some(helped) = helper.and_then(|helper| ask(helper, key)) {
        return Some(match helped.username.as_str() {
            "<token>" => token(key, helped.secret),
            _ => password(key, &helped.username, helped.secret),
        });
    }
    let entry = file.auths.get(key).or_else(|| {
        file.auths
            .iter()
            .find(|(name, _)| host(name) == registry || (key == HUB && host(name) == "index.docker.io"))
            .map(|(_, entry)| entry)
    })?;
    if !entry.identitytoken.is_empty() {
        return Some(token(key, entry.identitytoken.clone()));
    }
    if entry.auth.is_empty() {
        return (!entry.username.is_empty()).then(|| password(key, &entry.username, entry.password.clone()));
    }
    let plain = String::from_utf8(STANDARD.decode(entry.auth.trim()).ok()?).ok()?;
    let (user, secret) = plain.split_once(':')?;
    Some(password(key, user, secret.trim_end_matches('\0').to_owned()))
}

/// Everything that is made of the file's bytes, for a registry in it and one that is not.
#[cfg(test)]
pub(super) fn read_all(bytes: &[u8]) {
    if let Ok(file) = serde_json::from_slice::<File>(bytes) {
        for registry in ["docker.io", "localhost:5000", "none"] {
            let _ = find(&file, registry, |_, _| None).map(|login| login.header.len());
        }
    }
}

/// The host of a key such as `https://registry/v1/`.
fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

fn password(server: &str, user: &str, secret: String) -> Login {
    login_of(json!({ "username": user, "password": secret, "serveraddress": server }), secret)
}

fn token(server: &str, secret: String) -> Login {
    login_of(json!({ "identitytoken": secret, "serveraddress": server }), secret)
}

fn login_of(auth: Value, secret: String) -> Login {
    Login { header: URL_SAFE.encode(auth.to_string()), secret }
}

/// Asks `docker-credential-NAME`; the registry goes over stdin, as its protocol has it.
fn ask(call: &Call, helper: &str, key: &str) -> Option<Helped> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if helper.is_empty() || !helper.bytes().all(plain) {
        log::warn!(target: "sandport", "a credential helper's name is not plain letters and digits; pulling without it");
        return None;
    }
    let program = format!("docker-credential-{helper}");
    let cap = FILE_BYTES as usize;
    match command::run(call, &program, &["get"], &[], Some(key.as_bytes()), HELPER_TIME, cap) {
        Ok(output) if output.is_success() => serde_json::from_slice(&output.stdout).ok(),
        // Not logged in there: helpers say so by their exit code.
        Ok(_) => None,
        Err(error) => {
            log::warn!(target: "sandport", "a credential helper failed; pulling without it: {}", error.message());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str, _: &str) -> Option<Helped> {
        None
    }

    fn decoded(login: &Login) -> Value {
        serde_json::from_slice(&URL_SAFE.decode(&login.header).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_entry_is_decoded_for_its_registry_only() {
        let text = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("hub:h:1") },
            "https://reg.example:5000/v2/": { "auth": STANDARD.encode("me:pw") },
        }});
        let file: File = serde_json::from_value(text).unwrap();
        let hub = decoded(&find(&file, "docker.io", none).unwrap());
        assert_eq!((&hub["username"], &hub["password"]), (&json!("hub"), &json!("h:1")));
        assert_eq!(decoded(&find(&file, "reg.example:5000", none).unwrap())["username"], "me");
        assert!(find(&file, "reg.example", none).is_none());
    }

    #[test]
    fn a_registrys_helper_goes_before_the_store_and_the_file() {
        let text = json!({ "credsStore": "store", "credHelpers": { "a.example": "special" },
            "auths": { "b.example": { "identitytoken": "t" } } });
        let file: File = serde_json::from_value(text).unwrap();
        let helper = |name: &str, _: &str| {
            (name == "special").then(|| Helped { username: "<token>".into(), secret: "s".into() })
        };
        assert_eq!(decoded(&find(&file, "a.example", helper).unwrap())["identitytoken"], "s");
        assert_eq!(decoded(&find(&file, "b.example", helper).unwrap())["identitytoken"], "t");
    }

    #[test]
    fn a_helper_with_a_path_for_a_name_is_not_run() {
        assert!(ask(&Call::new(), "../../tmp/evil", "x").is_none());
        assert!(ask(&Call::new(), "", "x").is_none());
    }
}
