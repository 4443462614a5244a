//! A connection for loads: several batches are under way, and each is read where it came in.
//!
//! Whoever sends takes a turn at reading: it reads its own replies when all before it have read theirs, and hands the reading
//! end on. One that gives up half-way does not, and then the connection is over for everybody behind it too.

use std::io;
use std::time::Duration;

use redis::{ConnectionAddr, RedisError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio_rustls::TlsConnector;

use super::link::{Link, LinkError};
use super::resp::{Cursor, Item, Malformed, Scan, command};
use super::settings::Settings;

/// More in one answer is no batch of labels: buckets are bounded.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What is read at a time.
const CHUNK: usize = 64 << 10;

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

struct Reading {
    end: ReadHalf<Box<dyn Stream>>,
    /// What came together with the replies of whoever read last, and is of those behind.
    rest: Vec<u8>,
}

/// The connection.
pub(super) struct Wire {
    writing: Mutex<Writing>,
    timeout: Duration,
}

struct Writing {
    end: WriteHalf<Box<dyn Stream>>,
    /// Gives the reading end to whoever sends next.
    turn: oneshot::Receiver<Reading>,
}

impl Wire {
    /// To the server that the link leads to.
    pub(super) async fn open(link: &Link, settings: &Settings) -> Result<Self, LinkError> {
        let info = link.client().get_connection_info();
        let connecting = tokio::time::timeout(settings.connect_timeout, connect(info.addr(), settings));
        let stream = connecting
            .await
            .map_err(|_| timed_out())?
            .map_err(RedisError::from)?;
        let (reading, end) = tokio::io::split(stream);
        let (first, turn) = oneshot::channel();
        // The receiver is right here.
        let _ = first.send(Reading {
            end: reading,
            rest: Vec::new(),
        });
        let wire = Self {
            writing: Mutex::new(Writing { end, turn }),
            timeout: settings.command_timeout,
        };
        let (user, database) = (info.redis_settings(), info.redis_settings().db().to_string());
        let mut greeting: Vec<Vec<&str>> = Vec::new();
        match (user.username(), user.password()) {
            (Some(name), Some(password)) => greeting.push(vec!["AUTH", name, password]),
            (None, Some(password)) => greeting.push(vec!["AUTH", password]),
            (Some(_) | None, None) => {}
        }
        if database != "0" {
            greeting.push(vec!["SELECT", &database]);
        }
        greeting.push(vec!["INFO", "server"]);
        let mut out = Vec::new();
        for words in &greeting {
            command(&mut out, words);
        }
        let answer = wire.exchange(&out, greeting.len()).await?;
        let mut cursor = Cursor::new(&answer);
        loop {
            match cursor.next().map_err(RedisError::from)? {
                Item::Status(_) => {}
                Item::Error(why) => {
                    return Err(LinkError::Refused(String::from_utf8_lossy(why).into_owned()));
                }
                // Behind one name another server may have answered this time.
                Item::Text(info) => {
                    let info = String::from_utf8_lossy(info);
                    return match info
                        .lines()
                        .any(|line| line.strip_prefix("run_id:") == Some(&*link.run_id))
                    {
                        true => Ok(wire),
                        false => Err(LinkError::Another),
                    };
                }
                Item::Number(_) | Item::Nil | Item::List(_) => return Err(RedisError::from(Malformed).into()),
            }
        }
    }

    /// Sends commands and returns the bytes of as many replies, all of them and nothing else.
    pub(super) async fn exchange(&self, commands: &[u8], replies: usize) -> Result<Vec<u8>, RedisError> {
        let whole = self.perform(commands, replies);
        tokio::time::timeout(self.timeout, whole)
            .await
            .map_err(|_| timed_out())?
    }

    async fn perform(&self, commands: &[u8], replies: usize) -> Result<Vec<u8>, RedisError> {
        let (next, turn) = oneshot::channel();
        let mine = {
            let mut writing = self.writing.lock().await;
            // Before anything is sent: whoever comes after a half of it must not believe that it can be read.
            let mine = std::mem::replace(&mut writing.turn, turn);
            writing.end.write_all(commands).await?;
            writing.end.flush().await?;
            mine
        };
        let mut reading = mine
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let (mut scan, mut answer) = (Scan::new(replies), std::mem::take(&mut reading.rest));
        let end = loop {
            if let Some(end) = scan.end(&answer)? {
                break end;
            }
            answer.reserve(CHUNK);
            if reading.end.read_buf(&mut answer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if answer.len() > MAX_ANSWER_BYTES {
                return Err(Malformed.into());
            }
        };
        reading.rest = answer.split_off(end);
        // Nobody waits behind the last one yet.
        let _ = next.send(reading);
        Ok(answer)
    }
}

impl From<Malformed> for RedisError {
    fn from(_: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, "the server's reply has another form").into()
    }
}

fn timed_out() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

async fn connect(address: &ConnectionAddr, settings: &Settings) -> io::Result<Box<dyn Stream>> {
    let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = address else {
        return Err(io::Error::other("neither TCP nor TLS"));
    };
    let stream = TcpStream::connect((host.as_str(), *port)).await?;
    stream.set_nodelay(true)?;
    match (address, &settings.tls) {
        (ConnectionAddr::Tcp(..), _) => Ok(Box::new(stream)),
        (_, Some(tls)) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(std::sync::Arc::clone(tls));
            Ok(Box::new(connector.connect(name, stream).await?))
        }
        (_, None) => Err(io::Error::other("TLS is not set up")),
    }
}
