//! The protobuf of discovery, field by field.

use serde_json::Value;

/// The type that is subscribed to.
pub(super) const EXTENSION_CONFIG: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

const TYPED_STRUCT: &str = "type.googleapis.com/xds.type.v3.TypedStruct";

/// One named extension's configuration, encoded.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) name: String,
    bytes: Vec<u8>,
}

impl Resource {
    /// From Envoy's JSON of a `TypedExtensionConfig`.
    pub(super) fn of(extension: &Value) -> Option<Self> {
        let name = extension.get("name")?.as_str()?;
        let mut typed = extension.get("typed_config")?.as_object()?.clone();
        let kind = typed.remove("@type")?;
        let mut inner = Message::default();
        inner.text(1, kind.as_str()?);
        inner.message(2, &structure(&Value::Object(typed)));
        let mut config = Message::default();
        config.text(1, name);
        config.message(2, &any(TYPED_STRUCT, &inner));
        Some(Resource {
            name: name.to_owned(),
            bytes: config.0,
        })
    }
}

/// A `DiscoveryResponse` as a gRPC message. Its nonce is its version.
pub(super) fn response<'a>(version: u64, resources: impl Iterator<Item = &'a Resource>) -> Vec<u8> {
    let mut response = Message::default();
    response.text(1, &version.to_string());
    for resource in resources {
        response.message(2, &any(EXTENSION_CONFIG, &Message(resource.bytes.clone())));
    }
    response.text(4, EXTENSION_CONFIG);
    response.text(5, &version.to_string());
    let length = u32::try_from(response.0.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &response.0].concat()
}

/// What a `DiscoveryRequest` says.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) names: Vec<String>,
    pub(super) type_url: String,
    pub(super) nonce: String,
    /// The message of `error_detail`.
    pub(super) refused: Option<String>,
}

impl Asked {
    pub(super) fn read(mut message: &[u8]) -> Option<Self> {
        let mut asked = Asked::default();
        while !message.is_empty() {
            let (number, value) = field(&mut message)?;
            let text = || String::from_utf8_lossy(value).into_owned();
            match number {
                3 => asked.names.push(text()),
                4 => asked.type_url = text(),
                5 => asked.nonce = text(),
                6 => asked.refused = Some(status_message(value)?),
                // The node, the version that runs, and what newer Envoys add.
                _ => {}
            }
        }
        Some(asked)
    }
}

/// The message of a `google.rpc.Status`.
fn status_message(mut status: &[u8]) -> Option<String> {
    let mut message = String::new();
    while !status.is_empty() {
        let (number, value) = field(&mut status)?;
        if number == 2 {
            message = String::from_utf8_lossy(value).into_owned();
        }
    }
    Some(message)
}

/// The first whole gRPC message, taken out.
pub(super) fn take_message(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length: [u8; 4] = unread.get(1..5)?.try_into().ok()?;
    let end = usize::try_from(u32::from_be_bytes(length)).ok()?.checked_add(5)?;
    if unread.len() < end {
        return None;
    }
    let rest = unread.split_off(end);
    let message = std::mem::replace(unread, rest);
    message.get(5..).map(<[u8]>::to_vec)
}

/// A message under construction.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(&mut self, number: u64, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn message(&mut self, number: u64, message: &Message) {
        self.bytes(number, &message.0);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

fn any(kind: &str, message: &Message) -> Message {
    let mut any = Message::default();
    any.text(1, kind);
    any.message(2, message);
    any
}

/// `google.protobuf.Struct` of an object; of anything else an empty one.
fn structure(value: &Value) -> Message {
    let mut fields = Message::default();
    for (key, value) in value.as_object().into_iter().flatten() {
        let mut entry = Message::default();
        entry.text(1, key);
        entry.message(2, &json_value(value));
        fields.message(1, &entry);
    }
    fields
}

/// `google.protobuf.Value`.
fn json_value(value: &Value) -> Message {
    let mut out = Message::default();
    match value {
        Value::Null => {
            out.varint(1 << 3);
            out.varint(0);
        }
        Value::Number(number) => {
            out.varint(2 << 3 | 1);
            let number = number.as_f64().unwrap_or_default();
            out.0.extend_from_slice(&number.to_le_bytes());
        }
        Value::String(text) => out.text(3, text),
        Value::Bool(yes) => {
            out.varint(4 << 3);
            out.varint(u64::from(*yes));
        }
        Value::Object(_) => out.message(5, &structure(value)),
        Value::Array(items) => {
            let mut list = Message::default();
            for item in items {
                list.message(1, &json_value(item));
            }
            out.message(6, &list);
        }
    }
    out
}

/// The next field: its number, and its bytes where it has some.
fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(message)?;
    let length = match key & 7 {
        0 => {
            varint(message)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(message)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((key >> 3, value))
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_read_whatever_else_stands_in_it() {
        let mut status = Message::default();
        status.varint(1 << 3);
        status.varint(13);
        status.text(2, "no");
        let mut request = Message::default();
        request.text(1, "7");
        request.text(3, "aplomb");
        request.text(4, EXTENSION_CONFIG);
        request.text(5, "8");
        request.message(6, &status);
        let asked = Asked::read(&request.0).expect("read");
        assert_eq!(
            (asked.names, asked.nonce),
            (vec!["aplomb".to_owned()], "8".to_owned())
        );
        assert_eq!(asked.refused.as_deref(), Some("no"));
        assert!(Asked::read(&[0x0a, 200]).is_none(), "cut off");
    }

    #[test]
    fn messages_come_out_of_a_stream_whole() {
        let extension =
            json!({"name": "a", "typed_config": {"@type": "t", "n": 1.5, "list": [true, null, "x"]}});
        let resource = Resource::of(&extension).expect("an extension");
        let bytes = response(300, [&resource].into_iter());
        let mut unread = bytes[..bytes.len() - 1].to_vec();
        assert_eq!(take_message(&mut unread), None);
        unread.extend_from_slice(&bytes[bytes.len() - 1..]);
        unread.push(0);
        assert_eq!(take_message(&mut unread), Some(bytes[5..].to_vec()));
        assert_eq!(unread, [0]);
    }
}
