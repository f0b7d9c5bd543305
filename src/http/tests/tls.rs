//! TLS: only the CA that was named is trusted, and the server may ask for our certificate.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A folder with two CAs and what the first one has signed.
struct Papers(PathBuf);

impl Papers {
    fn new(name: &str) -> Papers {
        let folder = std::env::temp_dir().join(format!("sandport-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let papers = Papers(folder);
        papers.make("ca", &["-addext", "keyUsage=keyCertSign"]);
        papers.make("stranger", &["-addext", "keyUsage=keyCertSign"]);
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
        papers.make("server", &[&signed[..], &["-addext", "subjectAltName=IP:127.0.0.1"]].concat());
        papers.make("elsewhere", &[&signed[..], &["-addext", "subjectAltName=IP:127.0.0.2"]].concat());
        papers.make("client", &[&signed[..], &["-addext", "extendedKeyUsage=clientAuth"]].concat());
        papers
    }

    fn make(&self, name: &str, more: &[&str]) {
        let (key, cert, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-nodes",
                "-days",
                "2",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-keyout", &key, "-out", &cert, "-subj", &subject])
            .args(more)
            .current_dir(&self.0)
            .output()
            .expect("the openssl command makes the certificates of this test");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.join(name))
    }

    /// What our client should have.
    fn tls(&self) -> Tls {
        Tls {
            ca: self.path("ca.pem"),
            cert: self.path("client.pem"),
            key: self.path("client.key"),
            verify: true,
        }
    }

    /// Serves one connection with a certificate, and says which requests came.
    fn serve(&self, name: &str) -> (Endpoint, JoinHandle<Vec<String>>) {
        let all = |path: &Path| {
            CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect::<Vec<_>>()
        };
        let mut trusted = RootCertStore::empty();
        trusted.add(all(&self.path("ca.pem").unwrap()).remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider.clone()).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                all(&self.path(&format!("{name}.pem")).unwrap()),
                PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")).unwrap()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
            let mut requests = Vec::new();
            while let Some(request) = take_request(&mut stream) {
                requests.push(request);
                stream.write_all(OK).unwrap();
            }
            requests
        });
        (Endpoint::Tcp { host: "127.0.0.1".into(), port, tls: Some(self.tls()) }, server)
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with(endpoint: &Endpoint, tls: Tls) -> Result<Client> {
    let Endpoint::Tcp { host, port, .. } = endpoint else { unreachable!() };
    Client::new(Endpoint::Tcp { host: host.clone(), port: *port, tls: Some(tls) })
}

#[test]
fn a_server_that_the_ca_signed_is_spoken_to_again_and_again() {
    let papers = Papers::new("good");
    let (endpoint, server) = papers.serve("server");
    let client = Client::new(endpoint).unwrap();
    for _ in 0..3 {
        assert_eq!(client.send(&call(), &get("/")).unwrap().body, b"ok");
    }
    drop(client);
    assert_eq!(server.join().unwrap().len(), 3, "one connection must have carried all");
}

#[test]
fn a_server_of_another_ca_or_address_gets_no_request() {
    let papers = Papers::new("bad");
    for (name, tls) in
        [("elsewhere", papers.tls()), ("server", Tls { ca: papers.path("stranger.pem"), ..papers.tls() })]
    {
        let (endpoint, server) = papers.serve(name);
        match with(&endpoint, tls).unwrap().send(&call(), &get("/")) {
            Err(Failure::Broken { what, sent: false }) => assert!(what.contains("certificate"), "{what}"),
            other => panic!("{other:?}"),
        }
        assert!(server.join().unwrap().is_empty());
    }
}

#[test]
fn a_client_without_the_certificate_that_is_asked_for_gets_no_answer() {
    let papers = Papers::new("anonymous");
    let (endpoint, server) = papers.serve("server");
    let client = with(&endpoint, Tls { cert: None, key: None, ..papers.tls() }).unwrap();
    assert!(matches!(client.send(&call(), &get("/")), Err(Failure::Broken { .. })));
    assert!(server.join().unwrap().is_empty());
}

#[test]
fn a_handshake_that_never_ends_is_left_with_the_call() {
    let papers = Papers::new("silent");
    let (client, server) = serve(|stream, _| hold(stream), 1);
    let client = with(&client.endpoint, papers.tls()).unwrap();
    let brief = call().within(Duration::from_millis(50));
    assert!(matches!(client.send(&brief, &get("/")), Err(Failure::TimedOut)));
    server.join().unwrap();
}

#[test]
fn wrong_files_are_named_before_anything_is_dialled() {
    let papers = Papers::new("files");
    std::fs::write(papers.0.join("empty.pem"), "no certificate\n").unwrap();
    let wrong = [
        Tls { ca: None, ..papers.tls() },
        Tls { ca: papers.path("absent.pem"), ..papers.tls() },
        Tls { ca: papers.path("empty.pem"), ..papers.tls() },
        Tls { key: papers.path("server.key"), ..papers.tls() },
        Tls { key: papers.path("client.pem"), ..papers.tls() },
        Tls { key: None, ..papers.tls() },
    ];
    for tls in wrong {
        let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port: 1, tls: Some(tls) };
        let error = Client::new(endpoint).err().expect("these files cannot work");
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(!error.message().contains("sandport-tls"), "{error}");
    }
}
