//! Engine replies that no engine would send.

use super::credentials;
use super::failures::{self, Said};
use super::wire;
use super::words::Frames;
use crate::fuzz::hammer;

#[test]
fn no_reply_makes_a_reader_panic() {
    hammer("replies", |bytes| {
        let _ = serde_json::from_slice::<wire::Inspected>(bytes).map(wire::Inspected::into_container);
        let _ = serde_json::from_slice::<Vec<wire::Summary>>(bytes)
            .map(|all| all.into_iter().map(wire::Summary::into_container).count());
        for status in [200, 400, 404, 409, 500] {
            let said = Said::new(status, bytes);
            let _ = (failures::create(&said), failures::start(&said), failures::pull(&said));
        }
    });
}

#[test]
fn no_log_frame_makes_the_reader_grow() {
    hammer("frames", |bytes| {
        let mut frames = Frames::default();
        for part in bytes.chunks(7) {
            frames.take(part);
        }
        assert!(frames.kept() <= 16 * 1024);
    });
}

#[test]
fn no_docker_config_makes_the_reader_panic() {
    hammer("docker-config", credentials::read_all);
}
