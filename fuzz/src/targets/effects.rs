//! What a proxy asks of the companion, and what the companion answers.

use companion_protocol::{Effect, EffectsRequest, EffectsResponse, Json};

pub(super) fn request(data: &[u8]) {
    let Ok(asked) = serde_json::from_slice::<EffectsRequest>(data) else {
        return;
    };
    let written = serde_json::to_vec(&asked).expect("what was read can be written");
    let again: EffectsRequest = serde_json::from_slice(&written).expect("what was written can be read");
    // A double may be read as its neighbour.
    if asked.effects.iter().all(|call| exact(&call.effect)) {
        assert_eq!(again, asked);
    } else {
        assert_eq!(again.effects.len(), asked.effects.len());
    }
}

pub(super) fn response(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<EffectsResponse>(data) else {
        return;
    };
    let written = serde_json::to_vec(&answer).expect("what was read can be written");
    assert_eq!(
        serde_json::from_slice::<EffectsResponse>(&written).expect("what was written can be read"),
        answer
    );
}

fn exact(effect: &Effect) -> bool {
    match effect {
        Effect::PdpDecide(decide) => whole(&decide.call) && whole(&decide.input),
        _ => true,
    }
}

fn whole(value: &Json) -> bool {
    match value {
        Json::Float(_) => false,
        Json::List(values) => values.iter().all(whole),
        Json::Map(members) => members.values().all(whole),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::UInt(_) | Json::Text(_) => true,
    }
}
