//! JSON and environment to a [`Config`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::resources::{self, Resources};
use super::{AuthConfig, Config, MountPaths, PortAssignment, Pull, RuntimeChoice, parts};
use crate::error::{Code, Error, Phase, Result};
use crate::form;
use crate::json::{Fields, LIMIT};
use crate::{mounts, sandbox};

const IMAGE: &str = "ghcr.io/agent-infra/sandbox:latest";
const PREFIX: &str = "sandport";
pub(crate) const PORTS: (u16, u16) = (8080, 1000);
const SANDBOX_HOST: [&str; 2] = ["SANDPORT_SANDBOX_HOST", "DEER_FLOW_SANDBOX_HOST"];
const BIND_HOST: [&str; 2] = ["SANDPORT_BIND_HOST", "DEER_FLOW_SANDBOX_BIND_HOST"];

/// How a variable of this process is looked up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads and checks a config.
pub(super) fn config(text: &str, lookup: Lookup<'_>) -> Result<Config> {
    let mut fields = Fields::parse(text, LIMIT)?;
    let runtime = runtime(&mut fields)?;
    let image = fields.string("image")?.unwrap_or_else(|| IMAGE.to_owned());
    form::image(&image).map_err(|what| fields.wrong("image", what))?;
    let container_prefix = fields.string("container_prefix")?.unwrap_or_else(|| PREFIX.to_owned());
    if !form::is_plain_name(&container_prefix) || container_prefix.len() > sandbox::NAME_AT_MOST - 2 {
        return Err(fields.wrong("container_prefix", "is not [A-Za-z0-9][A-Za-z0-9_.-]* of at most 61 bytes"));
    }
    let (base_port, port_count) = parts::ports(&mut fields, "base_port", "port_count", PORTS)?;
    let sandbox_host = sandbox_host(&mut fields, lookup)?;
    let bind_host = bind_host(&mut fields, lookup, &sandbox_host)?;
    let auth = parts::auth(fields.object("auth")?)?;
    let environment = environment(&mut fields, lookup)?;
    let health = parts::health(fields.object("health")?)?;
    if let Some(auth) = &auth {
        refuse_clash(auth, &environment, &health.headers)?;
    }
    let resources = fields.object("resources")?.map(Resources::read).transpose()?.unwrap_or_default();
    let config = Config {
        image,
        runtime,
        endpoint: endpoint(&mut fields)?,
        container_prefix,
        container_port: fields.port("container_port")?.unwrap_or(8080),
        base_port,
        port_count,
        port_assignment: fields
            .word("port_assignment", &[("range", PortAssignment::Range), ("engine", PortAssignment::Engine)])?
            .unwrap_or(PortAssignment::Range),
        mounts: mounts::read(&mut fields, "mounts")?,
        mount_paths: fields
            .word(
                "mount_paths",
                &[("auto", MountPaths::Auto), ("local", MountPaths::Local), ("engine", MountPaths::Engine)],
            )?
            .unwrap_or(MountPaths::Auto),
        environment,
        warnings: warnings(bind_host, auth.is_some()),
        sandbox_host,
        bind_host,
        health,
        auth,
        ready_timeout: seconds(&mut fields, "ready_timeout_seconds", 60)?,
        discover_timeout: seconds(&mut fields, "discover_timeout_seconds", 5)?,
        stop_timeout: seconds(&mut fields, "stop_timeout_seconds", 10)?,
        init: fields.boolean("init")?,
        pull: fields
            .word("pull", &[("missing", Pull::Missing), ("never", Pull::Never), ("always", Pull::Always)])?
            .unwrap_or(Pull::Missing),
        resources: resources.over(&resources::usual()),
        security: parts::security(fields.object("security")?)?,
        network: parts::network(&mut fields)?,
        extra_hosts: parts::extra_hosts(&mut fields)?,
        labels: parts::labels(&mut fields)?,
        state_dir: state_dir(&mut fields)?,
        call_timeout: seconds(&mut fields, "call_timeout_seconds", 30)?,
    };
    if config.call_timeout.is_zero() {
        return Err(
            fields.wrong("call_timeout_seconds", "is 0: no request to the runtime could ever be answered")
        );
    }
    fields.finish()?;
    Ok(config)
}

fn seconds(fields: &mut Fields, name: &str, usual: u64) -> Result<Duration> {
    Ok(fields.seconds(name)?.unwrap_or(Duration::from_secs(usual)))
}

fn runtime(fields: &mut Fields) -> Result<RuntimeChoice> {
    match fields.string("runtime")?.as_deref() {
        None | Some("auto") => Ok(RuntimeChoice::Auto),
        Some("docker") => Ok(RuntimeChoice::Docker),
        Some("podman") => Ok(RuntimeChoice::Podman),
        Some("container") => Ok(RuntimeChoice::Apple),
        Some(_) => Err(Error::new(Code::Unsupported, "`runtime` is none that this version knows")
            .with_hint("say \"auto\", \"docker\", \"podman\" or \"container\"")
            .in_phase(Phase::Validate)),
    }
}

/// The text of an endpoint; what it means is for who connects.
fn endpoint(fields: &mut Fields) -> Result<Option<String>> {
    let endpoint = fields.string("endpoint")?;
    let fits = |text: &String| {
        !text.is_empty()
            && text.len() <= 1024
            && !text.contains(|letter: char| letter.is_control() || letter == ' ')
    };
    match endpoint.as_ref().is_none_or(fits) {
        true => Ok(endpoint),
        false => Err(fields.wrong("endpoint", "is not a URL such as unix:///var/run/docker.sock")),
    }
}

/// The folder of locks and leases, as a field names it.
pub(crate) fn state_dir(fields: &mut Fields) -> Result<Option<PathBuf>> {
    let Some(text) = fields.string("state_dir")? else { return Ok(None) };
    match form::absolute(&text) {
        Ok("/") => Err(fields.wrong("state_dir", "is the root folder")),
        Ok(path) => Ok(Some(PathBuf::from(path))),
        Err(what) => Err(fields.wrong("state_dir", what)),
    }
}

/// Variables of a sandbox as they stand.
pub(crate) fn literal_environment(fields: &mut Fields) -> Result<BTreeMap<String, String>> {
    Ok(fields.pairs("environment", |name, _| form::variable(name))?.into_iter().collect())
}

/// Variables of a sandbox; a whole value `$NAME` is the host's variable, a leading `$$` one dollar.
fn environment(fields: &mut Fields, lookup: Lookup<'_>) -> Result<BTreeMap<String, String>> {
    let mut environment = literal_environment(fields)?;
    for (name, value) in &mut environment {
        let Some(rest) = value.strip_prefix('$') else { continue };
        if rest.starts_with('$') {
            *value = rest.to_owned();
        } else if form::is_variable(rest) {
            *value = host_variable(lookup, rest).map_err(|what| {
                fields.wrong(&format!("environment.{name}"), what).with_hint(
                    "set that variable before this program starts; a literal dollar is written `$$`",
                )
            })?;
        }
    }
    Ok(environment)
}

fn host_variable(lookup: Lookup<'_>, name: &str) -> Result<String, &'static str> {
    let value = lookup(name).ok_or("takes a variable of the host that is not set")?;
    value.into_string().map_err(|_| "takes a variable of the host that is not UTF-8")
}

/// The first of these variables that says anything, and which one it was.
fn first_said(lookup: Lookup<'_>, names: &[&'static str]) -> Result<Option<(&'static str, String)>> {
    for name in names {
        match lookup(name).map(OsString::into_string) {
            Some(Ok(text)) if !text.is_empty() => return Ok(Some((name, text))),
            Some(Err(_)) => return Err(crate::json::wrong(name, "is not UTF-8")),
            _ => (),
        }
    }
    Ok(None)
}

fn sandbox_host(fields: &mut Fields, lookup: Lookup<'_>) -> Result<String> {
    let said = match fields.string("sandbox_host")? {
        Some(text) => Some(("sandbox_host", text)),
        None => first_said(lookup, &SANDBOX_HOST)?,
    };
    let Some((field, text)) = said else { return Ok(Ipv4Addr::LOCALHOST.to_string()) };
    form::host(&text).map_err(|what| {
        crate::json::wrong(field, what).with_hint("say an address or a host name, such as \"127.0.0.1\"")
    })
}

fn bind_host(fields: &mut Fields, lookup: Lookup<'_>, sandbox_host: &str) -> Result<IpAddr> {
    if let Some(address) = said_bind_host(fields, lookup)? {
        return Ok(address);
    }
    Ok(match sandbox_host.parse::<IpAddr>() {
        // 127.0.0.2 is reached at 127.0.0.2 only.
        Ok(address) if address.is_loopback() => address,
        _ if form::is_loopback(sandbox_host) => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    })
}

fn said_bind_host(fields: &mut Fields, lookup: Lookup<'_>) -> Result<Option<IpAddr>> {
    let said = match fields.string("bind_host")? {
        Some(text) => Some(("bind_host", text)),
        None => first_said(lookup, &BIND_HOST)?,
    };
    let Some((field, text)) = said else { return Ok(None) };
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None if text.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        None => text.parse().ok(),
    };
    address.map(Some).ok_or_else(|| {
        crate::json::wrong(field, "is not an IP address")
            .with_hint("say an address of this machine, such as \"127.0.0.1\"")
    })
}

/// The address to probe for a request that is of no backend.
pub(crate) fn bind_host_of_environment(fields: &mut Fields) -> Result<IpAddr> {
    let said = said_bind_host(fields, &|name| std::env::var_os(name))?;
    Ok(said.unwrap_or(Ipv4Addr::LOCALHOST.into()))
}

/// What the key's variable and header are for must not stand elsewhere too: one of the two would be lost.
fn refuse_clash(
    auth: &AuthConfig,
    environment: &BTreeMap<String, String>,
    health: &[(String, String)],
) -> Result<()> {
    if environment.contains_key(&auth.environment) {
        return Err(crate::json::wrong(
            &format!("environment.{}", auth.environment),
            "is the variable of `auth`",
        )
        .with_hint("leave it out: the library makes a key for each sandbox"));
    }
    if health.iter().any(|(name, _)| name.eq_ignore_ascii_case(&auth.header)) {
        return Err(crate::json::wrong("health.headers", "has the header of `auth`")
            .with_hint("leave it out: the library sends each sandbox its key"));
    }
    Ok(())
}

fn warnings(bind_host: IpAddr, has_auth: bool) -> Vec<String> {
    if bind_host.to_canonical().is_loopback() || has_auth {
        return Vec::new();
    }
    vec![
        "sandboxes are published beyond this machine without a key: anybody who reaches `bind_host` can use them; \
         set `auth`, or bind to loopback"
            .to_owned(),
    ]
}
