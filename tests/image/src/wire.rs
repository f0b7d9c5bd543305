//! HTTP/1.1 as far as a test sandbox needs it: requests with a length, answers with a length, keep-alive.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&String> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub close: bool,
    /// Whether the body comes a byte at a time, 50 ms apart.
    pub drip: bool,
}

impl Answer {
    pub fn json(body: serde_json::Value) -> Self {
        Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
            close: false,
            drip: false,
        }
    }

    pub fn text(status: u16, body: &str) -> Self {
        Answer {
            status,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: body.as_bytes().to_vec(),
            close: false,
            drip: false,
        }
    }
}

/// The next request; `None` when the peer is done or says nonsense. `unread` keeps what belongs to the one after.
pub fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if unread.len() > 1 << 16 || !more(stream, unread) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    while unread.len() < length {
        if !more(stream, unread) {
            return None;
        }
    }
    let body = unread.drain(..length).collect();
    Some(Request { method, path, headers, body })
}

pub fn write(stream: &mut TcpStream, request: &Request, answer: &Answer) -> Result<()> {
    let mut out = format!("HTTP/1.1 {} Status\r\ncontent-length: {}\r\n", answer.status, answer.body.len())
        .into_bytes();
    for (name, value) in &answer.headers {
        out.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    if answer.close {
        out.extend(b"connection: close\r\n");
    }
    out.extend(b"\r\n");
    if answer.drip {
        stream.write_all(&out)?;
        return answer.body.iter().try_for_each(|byte| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            stream.write_all(&[*byte])
        });
    }
    if request.method != "HEAD" {
        out.extend(&answer.body);
    }
    stream.write_all(&out)
}

fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16384];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            unread.extend(&buffer[..count]);
            true
        }
    }
}
