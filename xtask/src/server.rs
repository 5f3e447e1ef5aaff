//! A static file server for the demo page: right MIME types, byte ranges, and the headers a production server should send.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};

/// Sent with every answer. The page needs no other script source than itself and no `unsafe-eval`; weights may come from
/// any https host.
const HEADERS: &str = "\
Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' https: http://localhost:*; \
style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'\r
Cross-Origin-Opener-Policy: same-origin\r
Cross-Origin-Embedder-Policy: require-corp\r
X-Content-Type-Options: nosniff\r
Referrer-Policy: no-referrer\r
Cache-Control: no-cache\r
Accept-Ranges: bytes\r
Connection: close\r
";

/// Serves `folder` to this machine from a thread of its own for as long as xtask runs; returns the address.
///
/// Without a port, 8080 or, if that is taken, a free one.
pub fn start(folder: &Path, port: Option<u16>) -> Result<String> {
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listening on port {port}"));
    let listener = match port {
        Some(port) => bind(port)?,
        None => bind(8080).or_else(|_| bind(0))?,
    };
    let folder = folder.canonicalize().with_context(|| format!("serving {}", folder.display()))?;
    let address = format!("http://localhost:{}/", listener.local_addr()?.port());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A browser that goes away in the middle of an answer is no failure of ours.
            thread::spawn(move || answer(&folder, stream).ok());
        }
    });
    Ok(address)
}

fn answer(folder: &Path, mut stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?.take(64 * 1024)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("range")) {
            range = Some(value.trim().to_owned());
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !["GET", "HEAD"].contains(&method) {
        return refuse(&mut stream, "405 Method Not Allowed", "");
    }
    let Some((path, mut file)) = open(folder, target) else {
        return refuse(&mut stream, "404 Not Found", "");
    };
    let size = file.metadata()?.len();
    let (status, first, length) = match range.as_deref().map(|range| byte_range(range, size)) {
        None => ("200 OK", 0, size),
        Some(Some((first, length))) => ("206 Partial Content", first, length),
        Some(None) => {
            return refuse(&mut stream, "416 Range Not Satisfiable", &format!("Content-Range: bytes */{size}\r\n"));
        }
    };
    let mut head =
        format!("HTTP/1.1 {status}\r\n{HEADERS}Content-Type: {}\r\nContent-Length: {length}\r\n", mime_type(&path));
    if first > 0 || length < size {
        head += &format!("Content-Range: bytes {first}-{}/{size}\r\n", first + length - 1);
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if method == "GET" {
        file.seek(SeekFrom::Start(first))?;
        io::copy(&mut file.take(length), &mut stream)?;
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: &str, headers: &str) -> io::Result<()> {
    let body = format!("{status}\n");
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{HEADERS}{headers}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes())
}

/// The file a request's target names, if it lies in the folder.
fn open(folder: &Path, target: &str) -> Option<(PathBuf, File)> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let mut path = folder.join(path).canonicalize().ok()?;
    if path.is_dir() {
        path.push("index.html");
    }
    if !path.starts_with(folder) || !path.is_file() {
        return None;
    }
    File::open(&path).ok().map(|file| (path, file))
}

/// First byte and length of one satisfiable range: `bytes=a-b`, `bytes=a-`, `bytes=-n`.
fn byte_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, last.min(size.checked_sub(1)?)),
        (Ok(first), Err(_)) if last.is_empty() => (first, size.checked_sub(1)?),
        (Err(_), Ok(length)) if first.is_empty() => (size.saturating_sub(length), size.checked_sub(1)?),
        _ => return None,
    };
    (first <= last).then(|| (first, last - first + 1))
}

fn mime_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn request(address: &str, head: &str) -> String {
        let host = address.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_come_whole_in_parts_or_not_at_all() {
        let outside = std::env::temp_dir().join(format!("qwen3-web-server-{}", std::process::id()));
        let folder = outside.join("dist");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index.html"), "<p>page").unwrap();
        fs::write(folder.join("engine.wasm"), "0123456789").unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let address = start(&folder, Some(0)).unwrap();
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", "200 OK", "text/html", "\r\n\r\n<p>page"),
            ("GET /engine.wasm?v=1 HTTP/1.1\r\n\r\n", "200 OK", "application/wasm", "\r\n\r\n0123456789"),
            ("GET /engine.wasm HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n", "206", "bytes 2-4/10", "\r\n\r\n234"),
            ("GET /engine.wasm HTTP/1.1\r\nrange: bytes=7-\r\n\r\n", "206", "bytes 7-9/10", "\r\n\r\n789"),
            ("GET /engine.wasm HTTP/1.1\r\nrange: bytes=-2\r\n\r\n", "206", "bytes 8-9/10", "\r\n\r\n89"),
            ("GET /engine.wasm HTTP/1.1\r\nRange: bytes=10-\r\n\r\n", "416", "bytes */10", ""),
            ("HEAD /engine.wasm HTTP/1.1\r\n\r\n", "200 OK", "Content-Length: 10", "\r\n\r\n"),
            ("GET /../secret HTTP/1.1\r\n\r\n", "404", "", ""),
            ("GET /absent HTTP/1.1\r\n\r\n", "404", "", ""),
            ("POST / HTTP/1.1\r\n\r\n", "405", "", ""),
            ("\r\n\r\n", "405", "", ""),
        ];
        for (head, status, part, end) in cases {
            let answer = request(&address, head);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head:?}: {answer}");
            assert!(answer.contains(part) && answer.ends_with(end), "{head:?}: {answer}");
        }
        fs::remove_dir_all(&outside).unwrap();
    }
}
