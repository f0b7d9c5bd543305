# sandport's commands. On a fresh Debian machine with Rust and make, each does its own set-up.
.DEFAULT_GOAL := help
.PHONY: help build demo test fuzz soak bench

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 16

build: ## the library, for development
	cargo build --locked

demo: ## a C program makes a sandbox, uses it, finds it again and destroys it
	scripts/setup demo
	scripts/demo

test: ## everything, on real engines
	scripts/setup test
	scripts/test

fuzz: ## the property tests for a minute each, or SANDPORT_FUZZ_SECONDS
	SANDPORT_FUZZ_SECONDS=$${SANDPORT_FUZZ_SECONDS:-60} cargo test --locked --lib -- --nocapture makes_the_reader makes_a_reader no_control_character

soak: ## ten minutes of everything at random, with processes killed
	scripts/setup test
	scripts/soak

bench: ## sandport beside the bare Engine API and the docker command line
	scripts/setup image
	bindings/python/setup
	cargo rustc --locked --release --lib --crate-type cdylib
	SANDPORT_LIBRARY=$(CURDIR)/target/release/libsandport.so PYTHONPATH=bindings/python \
		target/python/bin/python benches/bench.py
