//! The parts of a config that are objects or lists of their own: health, auth, security, network, labels.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::{AuthConfig, Health};
use crate::error::{Error, Result};
use crate::form;
use crate::json::{Fields, LIMIT};
use crate::runtime::{Confinement, Network, Seccomp};

const HEALTH_PATH: &str = "/v1/sandbox";
const NETWORK_HINT: &str = "say \"isolated\", \"bridge\", a network's name, or leave it out";

/// The ports from `first` on; a count that nobody has said ends at the last port there is.
pub(crate) fn ports(fields: &mut Fields, first: &str, count: &str, usual: (u16, u16)) -> Result<(u16, u16)> {
    let start = fields.port(first)?.unwrap_or(usual.0);
    let room = u16::MAX - start + 1;
    match fields.port(count)? {
        None => Ok((start, usual.1.min(room))),
        Some(said) if said <= room => Ok((start, said)),
        Some(_) => Err(fields
            .wrong(count, "reaches beyond port 65535")
            .with_hint("start lower, or take fewer ports")),
    }
}

/// Labels that are not ours.
pub(crate) fn labels(fields: &mut Fields) -> Result<BTreeMap<String, String>> {
    Ok(fields.pairs("labels", |name, _| form::label(name))?.into_iter().collect())
}

/// Headers that a caller may set, none twice.
pub(crate) fn headers(fields: &mut Fields) -> Result<Vec<(String, String)>> {
    let headers = fields.pairs("headers", form::header)?;
    match form::header_stands_twice(&headers) {
        None => Ok(headers),
        Some(name) => Err(fields.wrong("headers", &format!("has `{name}` twice: names do not heed case"))),
    }
}

pub(super) fn health(fields: Option<Fields>) -> Result<Health> {
    let Some(mut fields) = fields else {
        return Ok(Health { path: HEALTH_PATH.to_owned(), headers: Vec::new() });
    };
    let path = fields.string("path")?.unwrap_or_else(|| HEALTH_PATH.to_owned());
    form::http_path(&path).map_err(|what| fields.wrong("path", what))?;
    let headers = headers(&mut fields)?;
    fields.finish()?;
    Ok(Health { path, headers })
}

pub(super) fn auth(fields: Option<Fields>) -> Result<Option<AuthConfig>> {
    let Some(mut fields) = fields else { return Ok(None) };
    let environment = fields.string("environment")?;
    let environment = fields.required("environment", environment)?;
    form::variable(&environment).map_err(|what| fields.wrong("environment", what))?;
    let header = fields.string("header")?;
    let header = fields.required("header", header)?;
    form::header_name(&header).map_err(|what| fields.wrong("header", what))?;
    let prefix = fields.string("prefix")?.unwrap_or_default();
    let plain = prefix.len() <= 256 && prefix.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !plain || prefix.starts_with(' ') {
        return Err(
            fields.wrong("prefix", "is not visible ASCII of at most 256 bytes without a leading blank")
        );
    }
    fields.finish()?;
    Ok(Some(AuthConfig { environment, header: header.to_ascii_lowercase(), prefix }))
}

pub(super) fn network(fields: &mut Fields) -> Result<Network> {
    match fields.string("network")?.as_deref() {
        None => Ok(Network::Isolated { required: false }),
        Some("isolated") => Ok(Network::Isolated { required: true }),
        Some("bridge") => Ok(Network::Default),
        Some("host" | "none") => {
            Err(fields.wrong("network", "may not be the host's, or none").with_hint(NETWORK_HINT))
        }
        Some(name) if form::is_plain_name(name) && name.len() <= 128 => Ok(Network::Named(name.to_owned())),
        Some(_) => Err(fields.wrong("network", "is not the name of a network").with_hint(NETWORK_HINT)),
    }
}

/// `NAME:ADDRESS`; engines also know the address `host-gateway`.
pub(super) fn extra_hosts(fields: &mut Fields) -> Result<Vec<String>> {
    let all = fields.strings("extra_hosts")?.unwrap_or_default();
    let fits = |entry: &String| {
        entry.split_once(':').is_some_and(|(name, address)| {
            form::host(name).is_ok()
                && (address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok())
        })
    };
    match all.iter().position(|entry| !fits(entry)) {
        None => Ok(all),
        Some(at) => Err(fields.wrong(&format!("extra_hosts[{at}]"), "is not NAME:ADDRESS")),
    }
}

pub(super) fn security(fields: Option<Fields>) -> Result<Confinement> {
    let Some(mut fields) = fields else { return Ok(Confinement::default()) };
    let seccomp = match fields.string("seccomp")?.as_deref() {
        None | Some("unconfined") => Seccomp::Unconfined,
        Some("default") => Seccomp::Default,
        Some(path) => Seccomp::Profile(profile(&fields, path)?),
    };
    let user = fields.string("user")?;
    if user.as_deref().is_some_and(|user| !is_user(user)) {
        return Err(fields.wrong("user", "is not a user: USER or USER:GROUP"));
    }
    let confinement = Confinement {
        seccomp,
        no_new_privileges: fields.boolean("no_new_privileges")?.unwrap_or(false),
        cap_drop: capabilities(&mut fields, "cap_drop")?,
        cap_add: capabilities(&mut fields, "cap_add")?,
        read_only_rootfs: fields.boolean("read_only_rootfs")?.unwrap_or(false),
        user,
        selinux_disabled: fields.word("selinux", &[("default", false), ("disable", true)])?.unwrap_or(false),
    };
    fields.finish()?;
    Ok(confinement)
}

fn is_user(text: &str) -> bool {
    let part = |part: &str| form::is_plain_name(part.strip_prefix('_').unwrap_or(part));
    match text.split_once(':') {
        None => part(text),
        Some((user, group)) => part(user) && part(group),
    }
}

fn capabilities(fields: &mut Fields, name: &str) -> Result<Vec<String>> {
    let all = fields.strings(name)?.unwrap_or_default();
    let fits = |text: &String| {
        form::is_made_of(text, |b| b.is_ascii_alphabetic(), |b| b.is_ascii_alphanumeric() || b == b'_')
            && text.len() <= 64
    };
    match all.iter().position(|text| !fits(text)) {
        None => Ok(all),
        Some(at) => {
            Err(fields.wrong(&format!("{name}[{at}]"), "is not the name of a capability, such as NET_ADMIN"))
        }
    }
}

/// The text of a seccomp profile: engines take the profile itself, not its path.
fn profile(fields: &Fields, path: &str) -> Result<String> {
    let wrong = |what: &str| -> Error {
        let hint = "say \"unconfined\", \"default\", or the absolute path of a seccomp profile in JSON";
        fields.wrong("seccomp", what).with_hint(hint)
    };
    if !path.starts_with('/') {
        return Err(wrong("is neither a known word nor an absolute path"));
    }
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let is_file = Path::new(path).metadata().is_ok_and(|found| found.is_file());
    let file = if is_file { std::fs::File::open(path).ok() } else { None };
    let Some(file) = file else { return Err(wrong("is not a file that can be read")) };
    let mut text = String::new();
    let read = file.take(LIMIT as u64 + 1).read_to_string(&mut text);
    if read.is_err() || text.len() > LIMIT {
        return Err(wrong("is no UTF-8 text of at most 1 MiB"));
    }
    match serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|profile| profile.is_object()) {
        true => Ok(text),
        false => Err(wrong("is no JSON object")),
    }
}
