//! A backend of literal bytes: it keeps all that it hears and answers what it is told.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use aplomb_test_harness::patience::PATIENCE;
use serde_json::json;

use crate::policy;

/// What it has heard, and what it says next.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    heard: Mutex<Vec<String>>,
    next: Mutex<VecDeque<String>>,
}

/// The right answer to a call, in HTTP/1.1.
pub(crate) fn response() -> String {
    let body = policy::answer(&json!(7));
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Backend {
    pub(crate) fn start() -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let backend = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            heard: Mutex::default(),
            next: Mutex::default(),
        });
        let served = Arc::clone(&backend);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let backend = Arc::clone(&served);
                std::thread::spawn(move || backend.serve(stream));
            }
        });
        backend
    }

    /// One request a connection, so that what is heard of each is plain.
    fn serve(&self, mut stream: TcpStream) {
        let _set = stream.set_read_timeout(Some(PATIENCE));
        let at = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(String::new());
            heard.len() - 1
        };
        let (mut all, mut buffer) = (Vec::new(), [0_u8; 4096]);
        while !complete(&all) {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => all.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => break,
            }
            if let Some(heard) = self.heard.lock().unwrap().get_mut(at) {
                *heard = String::from_utf8_lossy(&all).into_owned();
            }
        }
        let say = self.next.lock().unwrap().pop_front().unwrap_or_else(response);
        // Piece by piece where it is told to.
        for piece in say.split("<pause>") {
            let _gone = stream.write_all(piece.as_bytes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it says to the next requests, in turn.
    pub(crate) fn says(&self, responses: &[&str]) {
        *self.next.lock().unwrap() = responses.iter().map(|text| (*text).to_owned()).collect();
    }

    /// Every request, as far as it came.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|text| !text.is_empty()).cloned().collect()
    }

    pub(crate) fn reset(&self) {
        self.heard.lock().unwrap().clear();
        self.next.lock().unwrap().clear();
    }
}

/// Head and as much body as `content-length` says, or the last chunk.
pub(crate) fn complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}
