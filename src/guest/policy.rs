//! What one guest may do. What its policy does not say is not allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Resources;
use crate::error::{Code, Error, Phase, Result};
use crate::form;
use crate::json::{Fields, LIMIT};
use crate::operation::Operation;

/// The operations that a guest can be allowed.
pub(crate) const OPERATIONS: [Operation; 6] = [
    Operation::Create,
    Operation::Destroy,
    Operation::Discover,
    Operation::IsAlive,
    Operation::List,
    Operation::Request,
];

/// A valid policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// Empty where there is no policy: then nothing is allowed.
    pub namespace: String,
    pub operations: Vec<Operation>,
    pub images: Vec<String>,
    /// By key: the host's path, and whether it is only read.
    pub mounts: BTreeMap<String, (String, bool)>,
    pub allow: Vec<String>,
    pub set: BTreeMap<String, String>,
    pub resources: Resources,
    pub sandboxes: usize,
    pub lifetime: u64,
    pub call_timeout: Duration,
    pub request_bytes: usize,
    pub response_bytes: usize,
    pub calls_per_minute: usize,
    pub keep: bool,
}

/// A limit's range is what an `i32` result can tell.
const BYTES: std::ops::RangeInclusive<u64> = 1..=(1 << 30);

impl Policy {
    /// Reads and checks a policy.
    pub fn parse(text: &str) -> Result<Policy> {
        let mut fields = Fields::parse(text, LIMIT)?;
        let namespace = fields.string("namespace")?;
        let namespace = fields.required("namespace", namespace)?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !form::is_made_of(&namespace, |b| b != b'-' && plain(b), plain) || namespace.len() > 16 {
            return Err(fields.wrong("namespace", "is not [a-z0-9][a-z0-9-]* of at most 16 bytes"));
        }
        let mut policy = Policy { namespace, ..Policy::default() };
        for word in fields.strings("operations")?.unwrap_or_default() {
            let known = OPERATIONS.into_iter().find(|operation| operation.word() == word);
            policy.operations.push(known.ok_or_else(|| fields.wrong("operations", "has an unknown one"))?);
        }
        policy.images = fields.strings("images")?.unwrap_or_default();
        if policy.images.iter().any(|image| canonical(image).is_none()) {
            return Err(fields
                .wrong("images", "has one that is not an image's name")
                .with_hint("write whole references: no wildcards, no ids"));
        }
        if let Some(mut mounts) = fields.object("mounts")? {
            for key in mounts.names() {
                let Some(mut mount) = mounts.object(&key)? else { continue };
                let path = mount.string("host_path")?;
                let path = mount.required("host_path", path)?;
                let path = form::absolute(&path).map_err(|what| mount.wrong("host_path", what))?.to_owned();
                let read_only = mount.boolean("read_only")?.unwrap_or(true);
                mount.finish()?;
                policy.mounts.insert(key, (path, read_only));
            }
            mounts.finish()?;
        }
        if let Some(mut environment) = fields.object("environment")? {
            policy.allow = environment.strings("allow")?.unwrap_or_default();
            let fits =
                |entry: &String| form::is_variable(entry.strip_suffix('*').unwrap_or(entry)) || entry == "*";
            if !policy.allow.iter().all(fits) {
                return Err(
                    environment.wrong("allow", "has what is neither a variable nor a beginning with `*`")
                );
            }
            policy.set = environment.pairs("set", |name, _| form::variable(name))?.into_iter().collect();
            environment.finish()?;
        }
        policy.read_limits(fields.object("limits")?)?;
        policy.keep = fields.boolean("keep")?.unwrap_or(false);
        fields.finish()?;
        Ok(policy)
    }

    fn read_limits(&mut self, fields: Option<Fields>) -> Result<()> {
        let mut fields = match fields {
            Some(fields) => fields,
            None => Fields::parse("{}", LIMIT)?,
        };
        let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        self.sandboxes = small(fields.integer("sandboxes", 0..=10_000)?.unwrap_or(1));
        self.resources.memory_bytes = Some(fields.integer("memory_bytes", 1..=1 << 50)?.unwrap_or(512 << 20));
        self.resources.cpus = Some(fields.positive("cpus", 100_000.0)?.unwrap_or(1.0));
        self.resources.pids = Some(fields.integer("pids", 1..=1 << 22)?.unwrap_or(256));
        self.lifetime = fields.integer("lifetime_seconds", 1..=31_536_000)?.unwrap_or(600);
        self.call_timeout = fields.seconds("call_timeout_seconds")?.unwrap_or(Duration::from_secs(30));
        self.request_bytes = small(fields.integer("request_bytes", BYTES)?.unwrap_or(64 << 10));
        self.response_bytes = small(fields.integer("response_bytes", BYTES)?.unwrap_or(1 << 20));
        self.calls_per_minute = small(fields.integer("calls_per_minute", 0..=1_000_000)?.unwrap_or(60));
        fields.finish()
    }

    /// The policy's own text for an image that a guest names; the first one where it names none.
    pub fn image(&self, asked: Option<&str>) -> Result<String> {
        let found = match asked {
            None => self.images.first(),
            Some(asked) => canonical(asked)
                .and_then(|asked| self.images.iter().find(|image| canonical(image).as_ref() == Some(&asked))),
        };
        found.cloned().ok_or_else(|| denied("image"))
    }

    /// Whether a guest may set a variable.
    pub fn allows_variable(&self, name: &str, auth: Option<&str>) -> bool {
        let exact = name.starts_with("LD_") || name == "PATH" || Some(name) == auth;
        self.allow.iter().any(|entry| {
            entry == name || (!exact && entry.strip_suffix('*').is_some_and(|start| name.starts_with(start)))
        })
    }
}

/// A rule of the policy forbids it; `what` is a field or an operation.
pub(crate) fn denied(what: &str) -> Error {
    Error::new(Code::Denied, format!("the policy does not allow this `{what}`"))
        .with_hint("ask whoever wrote the policy")
        .in_phase(Phase::Validate)
}

/// An image's whole name: registry, path, and digest or tag. `None` for ids, which could start any image.
pub(crate) fn canonical(text: &str) -> Option<String> {
    form::image(text).ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    if !text.bytes().all(plain) || text.contains("//") || text.starts_with("sha256:") {
        return None;
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let hex = name.bytes().all(|b| b.is_ascii_hexdigit());
    if name.is_empty() || (hex && tag.is_none() && digest.is_none()) {
        return None;
    }
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path.to_owned()),
        _ => ("docker.io", name.to_owned()),
    };
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
    Some(match (digest, tag) {
        (Some(digest), _) => format!("{host}/{path}@{digest}"),
        (None, tag) => format!("{host}/{path}:{}", tag.unwrap_or("latest")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_the_same_by_their_whole_name_and_never_by_an_id() {
        let whole = canonical("alpine").unwrap();
        for same in ["alpine:latest", "library/alpine", "docker.io/library/alpine", "index.docker.io/alpine"]
        {
            assert_eq!(canonical(same).as_ref(), Some(&whole), "{same}");
        }
        for id in ["d3", "sha256:d3", "", "a b", "-x", "alpine*", "@sha256:aa"] {
            assert_eq!(canonical(id), None, "{id}");
        }
        assert_ne!(canonical("evil.example/library/alpine"), Some(whole));
    }

    #[test]
    fn variables_of_power_need_an_exact_entry() {
        let policy = |allow: &str| {
            Policy::parse(&format!(r#"{{"namespace": "a", "environment": {{"allow": ["{allow}"]}}}}"#))
                .unwrap()
        };
        assert!(policy("APP_*").allows_variable("APP_X", None));
        assert!(!policy("APP_*").allows_variable("AP", None));
        for name in ["LD_PRELOAD", "PATH", "KEY"] {
            assert!(!policy("*").allows_variable(name, Some("KEY")), "{name}");
            assert!(policy(name).allows_variable(name, Some("KEY")), "{name}");
        }
    }

    #[test]
    fn a_policy_without_a_namespace_or_with_an_unknown_field_is_none() {
        for text in [
            "{}",
            r#"{"namespace": "A"}"#,
            r#"{"namespace": "a", "x": 1}"#,
            r#"{"namespace": "a", "operations": ["reap"]}"#,
        ] {
            assert!(Policy::parse(text).is_err(), "{text}");
        }
    }
}
