//! HTTP as Envoy really delivers it, under a real policy: HTTP/2 on both sides, trailers, limits, resets, early answers, and two
//! hundred streams at a time on one worker. Each in both ways of installing that hold headers.

mod crowd;
mod delivery;
mod events;
mod ground;
mod steps;
