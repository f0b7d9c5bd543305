//! JSON to typed requests: form only, no engine and no file is asked.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{
    AllocatePort, CreateRequest, DestroyRequest, ReapRequest, SandboxRequest, Target, WaitReadyRequest,
};
use crate::config::{self, Resources};
use crate::error::Result;
use crate::json::{Fields, wrong};
use crate::{form, mounts, sandbox};

const REQUEST_TIME: Duration = Duration::from_secs(60);
const RESPONSE_BYTES: u64 = 16 << 20;
/// An answer is held in memory as bytes and as JSON.
const RESPONSE_BYTES_AT_MOST: u64 = 1 << 30;
/// Most bytes of a thread's or user's name.
const NAME_AT_MOST: usize = 4096;
const ID_HINT: &str = "use [a-z0-9][a-z0-9_.-]*, such as \"demo-1\"";

pub(super) fn create(fields: &mut Fields) -> Result<CreateRequest> {
    let sandbox_id = fields.string("sandbox_id")?;
    if sandbox_id.as_ref().is_some_and(|id| !sandbox::is_sandbox_id(id)) {
        return Err(fields.wrong("sandbox_id", "is not a sandbox id").with_hint(ID_HINT));
    }
    let thread_id = named(fields, "thread_id")?;
    let user_id = fields.string("user_id")?;
    if user_id.is_some() && thread_id.is_none() {
        return Err(fields
            .wrong("user_id", "stands without a `thread_id`")
            .with_hint("say both, or neither"));
    }
    // `a:b` + `c` and `a` + `b:c` would be one id.
    if user_id.as_ref().is_some_and(|user| user.contains(':') || user.len() > NAME_AT_MOST) {
        return Err(fields.wrong("user_id", "has a `:` in it, or more than 4096 bytes"));
    }
    let image = fields.string("image")?;
    if let Some(Err(what)) = image.as_deref().map(form::image) {
        return Err(fields.wrong("image", what));
    }
    let request = CreateRequest {
        sandbox_id,
        thread_id,
        user_id,
        image,
        command: fields.strings("command")?,
        extra_mounts: mounts::read(fields, "extra_mounts")?,
        environment: config::literal_environment(fields)?,
        labels: config::labels(fields)?,
        resources: fields.object("resources")?.map(Resources::read).transpose()?,
        ready_timeout: fields.seconds("ready_timeout_seconds")?,
        tenant: None,
    };
    Ok(request)
}

fn named(fields: &mut Fields, name: &str) -> Result<Option<String>> {
    match fields.string(name)? {
        Some(text) if text.is_empty() => Err(fields.wrong(name, "is empty")),
        Some(text) if text.len() > NAME_AT_MOST => Err(fields.wrong(name, "has more than 4096 bytes")),
        other => Ok(other),
    }
}

/// `{sandbox_id, container_id?}`, or `{"sandbox": SandboxInfo}` alone.
pub(super) fn target(fields: &mut Fields) -> Result<Target> {
    if !fields.has("sandbox") {
        let id = fields.string("sandbox_id")?;
        let id = id.ok_or_else(|| {
            fields.wrong("sandbox_id", "is missing").with_hint("say which sandbox is meant")
        })?;
        if !sandbox::is_sandbox_id(&id) {
            return Err(fields.wrong("sandbox_id", "is not a sandbox id").with_hint(ID_HINT));
        }
        let container_id = fields.string("container_id")?;
        return whole(Target { sandbox_id: id, container_id, container_name: None }, "container_id");
    }
    for name in ["sandbox_id", "container_id"] {
        if fields.has(name) {
            return Err(fields.wrong(name, "stands beside `sandbox`").with_hint("say one of the two"));
        }
    }
    match fields.raw("sandbox") {
        Some(Value::Object(info)) => of_info(&Value::Object(info)),
        _ => Err(fields.wrong("sandbox", "is not an object").with_hint("pass a whole SandboxInfo")),
    }
}

/// What names a sandbox in its SandboxInfo; all else is a newer library's, or no matter.
fn of_info(info: &Value) -> Result<Target> {
    let text = |name: &str| match &info[name] {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(&format!("sandbox.{name}"), "is not a text")),
    };
    let Some(sandbox_id) = text("sandbox_id")?.filter(|id| sandbox::is_sandbox_id(id)) else {
        return Err(wrong("sandbox.sandbox_id", "is missing or no sandbox id")
            .with_hint("pass a SandboxInfo as create, discover or list answered it"));
    };
    let target =
        Target { sandbox_id, container_id: text("container_id")?, container_name: text("container_name")? };
    whole(target, "sandbox.container_id")
}

/// No part of an id names a container: an engine would take the first that begins with it.
fn whole(target: Target, field: &str) -> Result<Target> {
    let Some(id) = &target.container_id else { return Ok(target) };
    // Apple's containers have no id but their name, prefix + id; `Target::check` knows the prefix.
    let prefix = id.strip_suffix(target.sandbox_id.as_str()).and_then(|rest| rest.strip_suffix('-'));
    let is_name = id.len() <= sandbox::NAME_AT_MOST && prefix.is_some_and(form::is_plain_name);
    match sandbox::is_container_id(id) || is_name {
        true => Ok(target),
        false => Err(wrong(field, "is not 64 hex digits")
            .with_hint("pass the `container_id` of a SandboxInfo, in full")),
    }
}

pub(super) fn destroy(fields: &mut Fields) -> Result<DestroyRequest> {
    Ok(DestroyRequest { target: target(fields)?, stop_timeout: fields.seconds("stop_timeout_seconds")? })
}

pub(super) fn request(fields: &mut Fields) -> Result<SandboxRequest> {
    let target = target(fields)?;
    let methods = form::METHODS.map(|method| (method, method));
    let method = fields.word("method", &methods)?.unwrap_or("GET").to_owned();
    let path = fields.string("path")?;
    let path = fields.required("path", path)?;
    form::http_path(&path).map_err(|what| fields.wrong("path", what))?;
    Ok(SandboxRequest {
        target,
        method,
        path,
        headers: config::headers(fields)?,
        body: body(fields)?,
        timeout: fields.seconds("timeout_seconds")?.unwrap_or(REQUEST_TIME),
        max_response_bytes: fields
            .integer("max_response_bytes", 0..=RESPONSE_BYTES_AT_MOST)?
            .unwrap_or(RESPONSE_BYTES),
    })
}

fn body(fields: &mut Fields) -> Result<Option<Vec<u8>>> {
    match (fields.text("body")?, fields.text("body_base64")?) {
        (Some(_), Some(_)) => {
            Err(fields.wrong("body", "stands beside `body_base64`").with_hint("say one of the two"))
        }
        (None, Some(coded)) => match STANDARD.decode(coded) {
            Ok(body) => Ok(Some(body)),
            Err(_) => Err(fields.wrong("body_base64", "is not base64 (the standard alphabet, padded)")),
        },
        (text, None) => Ok(text.map(String::into_bytes)),
    }
}

pub(super) fn reap(fields: &mut Fields) -> Result<ReapRequest> {
    let idle = fields.seconds("idle_seconds")?;
    Ok(ReapRequest {
        idle: fields.required("idle_seconds", idle)?,
        dry_run: fields.boolean("dry_run")?.unwrap_or(false),
        include_lost: fields.boolean("include_lost")?.unwrap_or(false),
    })
}

pub(super) fn wait_ready(fields: &mut Fields) -> Result<WaitReadyRequest> {
    let url = fields.string("sandbox_url")?;
    let url = fields.required("sandbox_url", url)?;
    let (host, port) = address(&url).ok_or_else(|| {
        let hint = "pass a SandboxInfo's `sandbox_url` as it is: http://HOST:PORT; the health path is added";
        fields.wrong("sandbox_url", "is not http://HOST:PORT").with_hint(hint)
    })?;
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let timeout = fields.seconds("timeout_seconds")?;
    Ok(WaitReadyRequest { host, port, authority, timeout: fields.required("timeout_seconds", timeout)? })
}

/// Host and port of `http://HOST:PORT`, perhaps with one slash at the end; port 80 may be left out.
fn address(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("http://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // Only brackets may have colons of their own.
    let colon = rest.rfind(':').filter(|at| rest.rfind(']').is_none_or(|bracket| bracket < *at));
    let (host, port) = match colon {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "80"),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| is_number && *port != 0)?;
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    Some((form::host(host).ok()?, port))
}

pub(super) fn allocate_port(fields: &mut Fields) -> Result<AllocatePort> {
    let (start_port, count) = config::ports(fields, "start_port", "count", (8080, 100))?;
    Ok(AllocatePort {
        start_port,
        count,
        bind_host: config::bind_host_of_environment(fields)?,
        state_dir: config::state_dir(fields)?,
    })
}
