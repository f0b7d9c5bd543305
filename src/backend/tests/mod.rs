//! The story on an engine in memory, where each thing that a real one does once in a while happens on demand.

mod create;
mod ends;
mod fake;

use super::*;
use crate::error::{Code, Error};
use fake::{Rig, container, refused};

fn target(id: &str) -> Target {
    Target { sandbox_id: id.into(), container_id: None, container_name: None }
}

fn wanted(id: &str) -> CreateRequest {
    CreateRequest { sandbox_id: Some(id.into()), ..CreateRequest::default() }
}
