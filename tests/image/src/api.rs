//! What the test sandbox can do: the shell, files, and a few answers that tests ask for.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::wire::{Answer, Request};

pub fn answer(request: &Request) -> Answer {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", "/v1/sandbox") => Answer::json(json!({
            "success": true, "message": "Sandbox is running", "data": null,
            "home_dir": "/home/sandbox", "version": env!("CARGO_PKG_VERSION"),
            "detail": {
                "system": {"os": "linux", "os_version": "", "arch": "x86_64", "user": "root", "home_dir": "/home/sandbox",
                    "workspace": "/home/sandbox", "timezone": "UTC", "occupied_ports": []},
                "runtime": {"python": [], "nodejs": []},
                "utils": []
            }
        })),
        ("POST", "/v1/shell/exec") => with_json(request, shell),
        ("POST", "/v1/file/read") => with_json(request, read),
        ("POST", "/v1/file/write") => with_json(request, write),
        ("POST", "/v1/file/list") => with_json(request, list),
        (_, "/echo") => Answer::json(json!({
            "method": request.method, "path": path, "query": query,
            "headers": request.headers, "body": String::from_utf8_lossy(&request.body),
        })),
        ("GET", "/close") => Answer { close: true, ..Answer::text(200, "bye") },
        ("GET", "/redirect") => {
            Answer { headers: vec![("location".into(), "/echo".into())], ..Answer::text(302, "") }
        }
        ("GET", _) if path.starts_with("/bytes/") => sized(&path[7..]),
        ("GET", "/drip") => {
            Answer { drip: true, ..Answer::text(200, "a byte at a time, for two seconds and a bit") }
        }
        ("GET", _) if path.starts_with("/slow/") => slow(&path[6..]),
        _ => Answer::text(404, "no such thing"),
    }
}

/// The system call itself, since a static test image wants no crate for one call.
pub fn ignore_term() {
    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
    }
    // SAFETY: SIG_IGN (1) for SIGTERM (15) installs no code, and nothing else runs yet.
    unsafe { signal(15, 1) };
}

fn with_json(request: &Request, work: fn(&Value) -> Result<Value, String>) -> Answer {
    let Ok(body) = serde_json::from_slice(&request.body) else {
        return Answer::text(422, "the body is no JSON");
    };
    match work(&body) {
        Ok(data) => Answer::json(json!({"success": true, "message": "ok", "data": data})),
        Err(message) => Answer::json(json!({"success": false, "message": message, "data": null})),
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, String> {
    body[name].as_str().ok_or_else(|| format!("{name} is missing"))
}

fn shell(body: &Value) -> Result<Value, String> {
    let command = text(body, "command")?;
    let limit = body["timeout"].as_f64().map(Duration::from_secs_f64);
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(body["exec_dir"].as_str().unwrap_or("/home/sandbox"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut out = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut out, &mut all).ok();
        all
    });
    let begun = Instant::now();
    let mut timed_out = false;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if !timed_out && limit.is_some_and(|limit| begun.elapsed() > limit) {
            timed_out = true;
            child.kill().ok();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let output = String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
    Ok(json!({
        "session_id": format!("s{}", child.id()), "command": command, "output": output,
        "status": if timed_out { "hard_timeout" } else { "completed" },
        "exit_code": status.code(), "console": [],
    }))
}

fn read(body: &Value) -> Result<Value, String> {
    let file = text(body, "file")?;
    let content = fs::read_to_string(file).map_err(|error| error.to_string())?;
    Ok(json!({"content": content, "file": file}))
}

fn write(body: &Value) -> Result<Value, String> {
    let (file, content) = (text(body, "file")?, text(body, "content")?);
    fs::write(file, content).map_err(|error| error.to_string())?;
    Ok(json!({"file": file, "bytes_written": content.len()}))
}

fn list(body: &Value) -> Result<Value, String> {
    let path = text(body, "path")?;
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| error.to_string())?.flatten() {
        let meta = entry.metadata().map_err(|error| error.to_string())?;
        files.push(
            json!({"name": entry.file_name().to_string_lossy(), "path": entry.path().to_string_lossy(),
            "is_directory": meta.is_dir(), "size": meta.len()}),
        );
    }
    Ok(
        json!({"path": path, "files": files, "total_count": files.len(), "directory_count": 0, "file_count": files.len()}),
    )
}

fn sized(count: &str) -> Answer {
    let count = count.parse().unwrap_or(0).min(256 << 20);
    Answer { body: vec![b'x'; count], ..Answer::text(200, "") }
}

fn slow(milliseconds: &str) -> Answer {
    std::thread::sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
    Answer::text(200, "at last")
}
