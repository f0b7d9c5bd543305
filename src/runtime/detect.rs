//! Which runtime is there, and by which endpoint it is reached.
//!
//! [`candidates`] lists what could be meant, without asking anybody, and refuses what can never work. [`open`] settles
//! on the first of them that answers. What the user names goes before what the surroundings name, and that before the
//! places where engines usually listen.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::apple::Apple;
use super::engine::Engine;
use super::engine::credentials::docker_folder;
use super::text::clean;
use super::{Kind, Runtime};
use crate::call::Call;
use crate::config::{Config, RuntimeChoice};
use crate::error::{Code, Error, Phase, Result};
use crate::form::is_loopback;
use crate::http::{Endpoint, Tls};

/// How long one engine may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);
/// Most bytes of one file of the docker command.
const FILE_BYTES: u64 = 1 << 20;

/// What the user wishes for.
#[derive(Clone, Debug)]
struct Wish {
    /// `None` is "auto".
    kind: Option<Kind>,
    endpoint: Option<String>,
    call_timeout: Duration,
}

impl From<&Config> for Wish {
    fn from(config: &Config) -> Self {
        let kind = match config.runtime {
            RuntimeChoice::Auto => None,
            RuntimeChoice::Docker => Some(Kind::Docker),
            RuntimeChoice::Podman => Some(Kind::Podman),
            RuntimeChoice::Apple => Some(Kind::Apple),
        };
        Wish { kind, endpoint: config.endpoint.clone(), call_timeout: config.call_timeout }
    }
}

/// One runtime that could be meant.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// `None`: the engine itself will say.
    pub kind: Option<Kind>,
    /// Empty for Apple's.
    pub endpoint: String,
    tls: Option<Tls>,
}

impl Candidate {
    fn engine(kind: Option<Kind>, endpoint: impl Into<String>) -> Self {
        Candidate { kind, endpoint: endpoint.into(), tls: None }
    }

    fn socket(kind: Option<Kind>, path: &Path) -> Self {
        Candidate::engine(kind, format!("unix://{}", path.display()))
    }

    /// Whether it is on another machine.
    pub fn is_remote(&self) -> bool {
        let tls = self.tls.clone().or_else(tls_from_environment);
        self.kind != Some(Kind::Apple)
            && parse(&self.endpoint, tls).is_ok_and(|endpoint| is_remote(&endpoint))
    }

    /// The runtime itself; nothing is asked yet.
    pub fn runtime(&self, call_timeout: Duration) -> Result<Arc<dyn Runtime>> {
        if self.kind == Some(Kind::Apple) {
            return Ok(Arc::new(Apple::new(call_timeout)));
        }
        Ok(Arc::new(match self.tls.clone() {
            None => Engine::connect(self.kind, &self.endpoint, call_timeout)?,
            tls => Engine::with_tls(self.kind, &self.endpoint, tls, call_timeout)?,
        }))
    }
}

/// Everything that could be meant, best first, never empty. Fails for what can never work.
pub(crate) fn candidates(config: &Config) -> Result<Vec<Candidate>> {
    judged(&Wish::from(config))
}

fn judged(wish: &Wish) -> Result<Vec<Candidate>> {
    let all = Surroundings::here().candidates(wish)?;
    for candidate in all.iter().filter(|candidate| candidate.kind != Some(Kind::Apple)) {
        let tls = candidate.tls.clone().or_else(tls_from_environment);
        parse(&candidate.endpoint, tls)?;
    }
    Ok(all)
}

/// The first runtime that answers. A single one that was named is opened and asked like the others.
pub(crate) fn open(config: &Config, call: &Call) -> Result<Arc<dyn Runtime>> {
    let wish = Wish::from(config);
    first_that_answers(&judged(&wish)?, wish.call_timeout, call)
}

fn first_that_answers(all: &[Candidate], call_timeout: Duration, call: &Call) -> Result<Arc<dyn Runtime>> {
    let mut first: Option<Error> = None;
    let mut tried = Vec::new();
    for candidate in all {
        let runtime = candidate.runtime(call_timeout)?;
        let error = match runtime.ping(&call.within(ANSWER.min(call_timeout))) {
            Ok(_) => return Ok(runtime),
            Err(error) if error.code() == Code::Cancelled => return Err(error),
            Err(error) => error,
        };
        call.check()?;
        log::debug!(target: "sandport", call = call.number(); "no engine at {}: {}", candidate.endpoint, error.message());
        tried.push(if candidate.endpoint.is_empty() {
            "`container`".to_owned()
        } else {
            clean(&candidate.endpoint)
        });
        // One that is there and fails says more than those that are not there.
        let absent =
            error.code() == Code::RuntimeUnavailable && !error.message().ends_with("permission denied");
        let says_more =
            !absent && first.as_ref().is_none_or(|known| known.code() == Code::RuntimeUnavailable);
        if first.is_none() || says_more {
            first = Some(error);
        }
    }
    let first =
        first.unwrap_or_else(|| Error::new(Code::RuntimeUnavailable, "no container engine was found"));
    let absent = first.code() == Code::RuntimeUnavailable && !first.message().ends_with("permission denied");
    if tried.len() < 2 || !absent {
        return Err(first);
    }
    Err(Error::new(Code::RuntimeUnavailable, format!("no container engine answers; looked at {}", tried.join(", ")))
        .with_hint("start Docker (systemctl start docker, or Docker Desktop) or Podman (systemctl --user start podman.socket), or set `endpoint`")
        .in_phase(first.phase().unwrap_or(Phase::Inspect))
        .retryable())
}

/// An endpoint's text, judged: what can never work is refused here.
pub(crate) fn parse(endpoint: &str, tls: Option<Tls>) -> Result<Endpoint> {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return Err(Error::invalid("`endpoint` has no scheme")
            .with_hint("write unix:///path/to/socket or tcp://host:port"));
    };
    match scheme {
        "unix" if rest.starts_with('/') && !rest.contains('\0') => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "unix" => Err(Error::invalid("`endpoint` names no absolute path of a socket").with_hint("write unix:///path/to/socket")),
        "tcp" | "http" | "https" => tcp(scheme, rest, tls),
        "ssh" => Err(Error::new(Code::Unsupported, "an ssh:// endpoint is not spoken")
            .in_phase(Phase::Validate)
            .with_hint("forward the socket (ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock HOST) and set `endpoint` to unix:///tmp/engine.sock")),
        "npipe" | "fd" => Err(Error::new(Code::Unsupported, format!("an {scheme}:// endpoint is not spoken"))
            .in_phase(Phase::Validate)
            .with_hint("use the engine's Unix socket or its tcp:// endpoint")),
        _ => Err(Error::invalid("`endpoint` has a scheme that is not known").with_hint("write unix:///path/to/socket or tcp://host:port")),
    }
}

fn tcp(scheme: &str, rest: &str, tls: Option<Tls>) -> Result<Endpoint> {
    let wrong = || Error::invalid("`endpoint` names no host and port").with_hint("write tcp://host:port");
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let tls = match scheme {
        "http" => None,
        "https" => tls.or(Some(Tls { verify: true, ..Tls::default() })),
        _ => tls,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ if rest.is_empty() => return Err(wrong()),
        _ => (rest, if tls.is_some() { 2376 } else { 2375 }),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    if host.is_empty() || port == 0 || !host.bytes().all(plain) {
        return Err(wrong());
    }
    if !is_loopback(host) && !tls.as_ref().is_some_and(|tls| tls.verify) {
        return Err(Error::invalid("`endpoint` is beyond this machine and has no verified TLS").with_hint(
            "give the engine TLS and set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or forward its socket",
        ));
    }
    Ok(Endpoint::Tcp { host: host.to_owned(), port, tls })
}

/// Whether it is on another machine.
pub(crate) fn is_remote(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Unix(_) => false,
        Endpoint::Tcp { host, .. } => !is_loopback(host),
    }
}

/// The TLS that the docker command would speak: `DOCKER_TLS_VERIFY`, `DOCKER_TLS` and `DOCKER_CERT_PATH`.
pub(crate) fn tls_from_environment() -> Option<Tls> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let verify = set("DOCKER_TLS_VERIFY").is_some();
    let folder = set("DOCKER_CERT_PATH").map(PathBuf::from);
    if !verify && folder.is_none() && set("DOCKER_TLS").is_none() {
        return None;
    }
    Some(tls_in(&folder.or_else(docker_folder)?, verify))
}

/// The files that are there of those that the docker command keeps in a folder.
fn tls_in(folder: &Path, verify: bool) -> Tls {
    let file = |name| Some(folder.join(name)).filter(|path| path.exists());
    Tls { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem"), verify }
}

/// Environment variables by name; empty ones count as absent.
type Variables = Box<dyn Fn(&str) -> Option<String>>;

/// What of the machine decides where engines are looked for.
struct Surroundings {
    variables: Variables,
    docker_folder: Option<PathBuf>,
    macos: bool,
}

impl Surroundings {
    fn here() -> Self {
        Surroundings {
            variables: Box::new(|name| env::var(name).ok().filter(|value| !value.is_empty())),
            docker_folder: docker_folder(),
            macos: cfg!(target_os = "macos"),
        }
    }

    fn candidates(&self, wish: &Wish) -> Result<Vec<Candidate>> {
        if let Some(endpoint) = &wish.endpoint {
            if wish.kind == Some(Kind::Apple) {
                return Err(Error::invalid("`endpoint` has no meaning for runtime \"container\"")
                    .with_hint("leave it out"));
            }
            return Ok(vec![Candidate::engine(wish.kind, endpoint)]);
        }
        let apple = Candidate::engine(Some(Kind::Apple), "");
        match wish.kind {
            Some(Kind::Apple) => Ok(vec![apple]),
            Some(Kind::Docker) => self.docker(Some(Kind::Docker)),
            Some(Kind::Podman) => Ok(self.podman()),
            None => {
                let mut all = if self.macos { vec![apple] } else { Vec::new() };
                // Docker's socket may be Podman's, which the engine itself will say.
                all.extend(self.docker(None)?);
                // A host of Podman's that is not spoken must not spoil a Docker that is.
                all.extend(self.podman().into_iter().filter(|one| parse(&one.endpoint, None).is_ok()));
                Ok(all)
            }
        }
    }

    /// `DOCKER_HOST`, else the current context, else where Docker listens.
    fn docker(&self, kind: Option<Kind>) -> Result<Vec<Candidate>> {
        if let Some(host) = self.variable("DOCKER_HOST") {
            return Ok(vec![Candidate::engine(kind, host)]);
        }
        if let Some(context) = self.context()? {
            return Ok(vec![Candidate { kind, ..context }]);
        }
        let mut all = vec![PathBuf::from("/var/run/docker.sock")];
        all.extend(self.under_home(".docker/run/docker.sock"));
        all.extend(self.variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("docker.sock")));
        if self.macos {
            all.extend(
                [".orbstack/run/docker.sock", ".colima/default/docker.sock"]
                    .iter()
                    .filter_map(|path| self.under_home(path)),
            );
        }
        Ok(all.iter().map(|path| Candidate::socket(kind, path)).collect())
    }

    /// `CONTAINER_HOST`, else where Podman listens.
    fn podman(&self) -> Vec<Candidate> {
        let kind = Some(Kind::Podman);
        if let Some(host) = self.variable("CONTAINER_HOST") {
            return vec![Candidate::engine(kind, host)];
        }
        let mut all = Vec::new();
        all.extend(
            self.variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("podman/podman.sock")),
        );
        all.push(PathBuf::from("/run/podman/podman.sock"));
        all.extend(self.under_home(".local/share/containers/podman/machine/podman.sock"));
        all.iter().map(|path| Candidate::socket(kind, path)).collect()
    }

    /// The endpoint of the docker command's current context; `None` for the default one.
    fn context(&self) -> Result<Option<Candidate>> {
        let Some(folder) = &self.docker_folder else { return Ok(None) };
        let current =
            || read::<ConfigFile>(&folder.join("config.json")).and_then(|file| file.current_context);
        let Some(name) = self.variable("DOCKER_CONTEXT").or_else(current) else { return Ok(None) };
        if name.is_empty() || name == "default" {
            return Ok(None);
        }
        let digest: String =
            Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = read::<Meta>(&folder.join("contexts/meta").join(&digest).join("meta.json"));
        let Some(docker) = meta.filter(|meta| meta.name == name).and_then(|meta| meta.endpoints.docker)
        else {
            return Err(Error::invalid("the current docker context cannot be read")
                .with_hint("run `docker context use default`, or set `endpoint`"));
        };
        let files = folder.join("contexts/tls").join(&digest).join("docker");
        let secured = files.is_dir() || docker.host.starts_with("https://");
        let tls = secured.then(|| tls_in(&files, !docker.skip_tls_verify));
        Ok(Some(Candidate { kind: None, endpoint: docker.host, tls }))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }

    fn under_home(&self, path: &str) -> Option<PathBuf> {
        self.variable("HOME").map(|home| Path::new(&home).join(path))
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    endpoints: MetaEndpoints,
}

#[derive(Deserialize)]
struct MetaEndpoints {
    docker: Option<MetaDocker>,
}

#[derive(Deserialize)]
struct MetaDocker {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

/// A file of the docker command; one that is not there or not readable tells nothing.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests;
