//! What one create asks for, joined with the config: the container to be, its key, and its spec hash.

use std::collections::BTreeMap;
use std::time::Duration;

use super::auth;
use super::look::Bond;
use super::secrets::Secrets;
use super::session::Session;
use super::tenants::Tenant;
use crate::call::Call;
use crate::config::Pull;
use crate::error::Result;
use crate::mounts::{self, Held};
use crate::operation::CreateRequest;
use crate::runtime::Kind;
use crate::runtime::{Container, ContainerSpec, Published, Seccomp};
use crate::sandbox::{self, label};

/// What one create asks for.
pub(super) struct Plan {
    pub id: String,
    pub name: String,
    /// Without a port yet.
    pub spec: ContainerSpec,
    pub ready_timeout: Duration,
    /// What no error of this call may repeat.
    pub secrets: Secrets,
    /// What the judged mounts led to, where their paths are ours.
    pub held: Held,
    /// The guest that it is for.
    tenant: Option<Box<Tenant>>,
    pull: Pull,
    hash: String,
}

impl Plan {
    /// Joins a request with the config; judges its mounts and makes its key.
    pub fn new(session: &Session, call: &Call, request: &CreateRequest) -> Result<Plan> {
        let config = session.config();
        let id = request.id()?;
        sandbox::check_name(&config.container_prefix, &id)?;
        let name = sandbox::container_name(&config.container_prefix, &id);
        let tenant = request.tenant.clone();
        // Of the config's mounts, environment, labels and hosts a guest gets nothing.
        let config_mounts = if tenant.is_some() { &[][..] } else { &config.mounts[..] };
        let mounts = match config_mounts.is_empty() && request.extra_mounts.is_empty() {
            true => Vec::new(),
            false => mounts::judge(config_mounts, &request.extra_mounts, &session.mount_rules(call)?)?,
        };
        let held = if session.paths_are_shared { Held::of(&mounts) } else { Held::default() };
        let mut environment = if tenant.is_some() { BTreeMap::new() } else { config.environment.clone() };
        environment.extend(request.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut secrets = Secrets::of(environment.values().map(String::as_str));
        let limits = request
            .resources
            .map_or_else(|| config.resources.clone(), |resources| resources.over(&config.resources));
        let limits = tenant.as_ref().map_or(limits, |tenant| tenant.limits(&config.resources));
        let mut confinement = config.security.clone();
        if tenant.is_some() && confinement.seccomp == Seccomp::Unconfined {
            confinement.seccomp = Seccomp::Default;
        }
        let mut spec = ContainerSpec {
            name: name.clone(),
            image: request.image.clone().unwrap_or_else(|| config.image.clone()),
            command: request.command.clone().unwrap_or_default(),
            environment,
            labels: BTreeMap::new(),
            mounts,
            container_port: config.container_port,
            publish: Published { address: config.bind_host, port: 0 },
            network: config.network.clone(),
            extra_hosts: if tenant.is_some() { Vec::new() } else { config.extra_hosts.clone() },
            limits,
            confinement,
            init: config.init.unwrap_or(session.runtime().kind() != Kind::Apple),
            stop_timeout: config.stop_timeout,
        };
        // The hash is of what was asked for: the key is new each time, and no part of it.
        let hash = sandbox::spec_hash(session.home().key(), &spec);
        if let Some(auth) = &config.auth {
            let key = auth::fresh_key()?;
            secrets.add(&key);
            spec.environment.insert(auth.environment.clone(), key);
        }
        if tenant.is_none() {
            spec.labels = config.labels.clone();
        }
        spec.labels.extend(request.labels.clone());
        spec.labels.extend([
            (label::ID.to_owned(), id.clone()),
            (label::PREFIX.to_owned(), config.container_prefix.clone()),
            (label::SPEC.to_owned(), hash.clone()),
            (label::DOMAIN.to_owned(), session.home().domain().to_owned()),
            (label::HOME.to_owned(), session.home().place().to_string_lossy().into_owned()),
            (label::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        spec.labels.extend(tenant.iter().flat_map(|tenant| tenant.labels()));
        Ok(Plan {
            id,
            tenant,
            name,
            spec,
            ready_timeout: request.ready_timeout.unwrap_or(config.ready_timeout),
            secrets,
            held,
            pull: config.pull,
            hash,
        })
    }

    /// Whether an image that is not here may be brought.
    pub fn may_pull(&self) -> bool {
        self.pull != Pull::Never
    }

    /// Whether the image is brought before each container is made.
    pub fn pulls_always(&self) -> bool {
        self.pull == Pull::Always
    }

    /// Whether what bears the name may be touched: a guest adopts and clears away only its own, made from the same.
    pub fn may_have(&self, container: &Container, bond: &Bond) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| {
            *bond == Bond::Ours && tenant.owns(container) && self.matches(container, bond) == Some(true)
        })
    }

    /// Whether a container was made from the same; `None` where another state directory's key hides it.
    pub fn matches(&self, container: &Container, bond: &Bond) -> Option<bool> {
        (*bond == Bond::Ours).then(|| container.labels.get(label::SPEC) == Some(&self.hash))
    }
}
