//! Labels on the primaries of a cluster.
//!
//! **Where**: a subject's buckets lie in one slot, its primary is one [`Node`], and every node is checked and waited for as
//! a server of its own is. `replicas` counts the replicas of each primary. Documents lie in one slot of all.
//!
//! **Which server has which slot** is asked of all servers that are known, every second and when one has failed; of those
//! that say the cluster is in order, the one with the newest configuration is believed. What failed is tried once more if
//! another server has the slot by then. While a slot is moved key by key, what concerns it is denied.
//!
//! **Epoch**: it has a part of each primary (its run id and an epoch key on it) and says who has which slots, so whatever
//! happens to one of them changes the whole. The key must lie on the server whose flush it shows, so its name depends on
//! the server's slots: of 1,024 names (one for every sixteenth slot) the first that lies there is read. A clear changes all
//! that lie there, in the same step that removes the labels: whoever has not heard yet that slots have moved reads another
//! name, and it has changed too. An answer carries the part of the server that the labels come from as it was then, and the
//! others as they were last seen, at most about a second ago.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use redis::{Client, FromRedisValue, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::super::StoreError;
use super::super::epoch::Epoch;
use super::super::keys::hex;
use super::layout::Names;
use super::link::LinkError;
use super::node::Node;
use super::servers::{Servers, Ways};
use super::settings::Settings;

/// How often the servers are asked when nothing fails.
const EVERY: Duration = Duration::from_secs(1);

/// The least time between two rounds, however much fails.
const PAUSE: Duration = Duration::from_millis(200);

/// How to come to a cluster.
#[derive(Debug, Clone)]
pub(super) struct Seeds {
    /// Host and port of some servers.
    pub(super) places: Vec<Place>,
    pub(super) ways: Ways,
}

/// Host and port.
pub(super) type Place = (String, u16);

type Ranges = Vec<RangeInclusive<u16>>;

/// Who has which slots.
type Layout = BTreeMap<Place, Ranges>;

/// A primary and what it has.
struct Member {
    ranges: Ranges,
    /// `None`: it has too few slots in line to hold an epoch, so nothing is asked of it.
    node: Option<Arc<Node>>,
}

#[derive(Default)]
struct Map {
    members: BTreeMap<Place, Member>,
}

/// A cluster.
pub(super) struct Cluster {
    seeds: Seeds,
    settings: Arc<Settings>,
    map: RwLock<Arc<Map>>,
    asked: Mutex<Option<Instant>>,
}

impl Map {
    fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let has = |member: &&Member| member.ranges.iter().any(|range| range.contains(&slot));
        self.members.values().find(has)?.node.as_ref()
    }

    fn has(&self, layout: &Layout) -> bool {
        let held = self.members.iter().map(|(place, member)| (place, &member.ranges));
        held.eq(layout.iter())
    }
}

impl Cluster {
    /// Asks the servers and tries them out. None that answers is no error. Must be called inside a runtime.
    pub(super) async fn open(seeds: Seeds, settings: Arc<Settings>) -> Result<Arc<Self>, LinkError> {
        let cluster = Arc::new(Self {
            seeds,
            settings,
            map: RwLock::default(),
            asked: Mutex::default(),
        });
        match cluster.ask().await {
            Ok(()) => {}
            Err(error) if error.is_misfit() => return Err(error),
            Err(error) => tracing::error!(%error, "the cluster does not answer yet"),
        }
        for node in cluster.nodes() {
            node.try_out().await?;
            // So that the first answer's epoch has every part that can be had.
            let _ = node.look().await;
        }
        tokio::spawn(watch(Arc::downgrade(&cluster)));
        Ok(cluster)
    }

    /// The server that has the slot; after one has failed, the one that has it by now, if it is another one.
    pub(super) async fn node(&self, slot: u16, failed: Option<&Arc<Node>>) -> Result<Arc<Node>, StoreError> {
        let known = self.map().node(slot).cloned();
        if let (Some(known), None) = (known, failed) {
            return Ok(known);
        }
        if let Err(error) = self.ask().await {
            tracing::error!(%error, "the cluster cannot be asked who has a slot");
        }
        let node = self.map().node(slot).cloned().ok_or(StoreError::Unavailable)?;
        match failed.is_some_and(|failed| Arc::ptr_eq(failed, &node)) {
            true => Err(StoreError::Unavailable),
            false => Ok(node),
        }
    }

    /// The whole epoch, with this part of that node. See the module's page.
    pub(super) fn epoch(&self, of: Option<(&Node, &str)>) -> Arc<str> {
        let mut digest = Sha256::new();
        for member in self.map().members.values() {
            digest.update(format!("{:?}", member.ranges));
            let Some(node) = &member.node else { continue };
            match of {
                Some((known, epoch)) if std::ptr::eq(known, &**node) => digest.update(epoch),
                Some(_) | None => digest.update(&*node.epoch()),
            }
            digest.update("\n");
        }
        hex(&digest.finalize()).into()
    }

    /// Whether every server is well, and there is one.
    pub(super) fn healthy(&self) -> bool {
        let map = self.map();
        let well = |member: &Member| member.node.as_ref().is_some_and(|node| node.healthy());
        !map.members.is_empty() && map.members.values().all(well)
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        let map = self.map();
        map.members
            .values()
            .filter_map(|member| member.node.clone())
            .collect()
    }

    /// Asks who has which slots, unless somebody has just done so.
    async fn ask(&self) -> Result<(), LinkError> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return Ok(());
        }
        let layout = self.newest().await;
        *asked = Some(Instant::now());
        self.take(&layout?)
    }

    /// What the server with the newest configuration says.
    async fn newest(&self) -> Result<Layout, LinkError> {
        let mut places = self.seeds.places.clone();
        places.extend(self.map().members.keys().cloned());
        places.sort_unstable();
        places.dedup();
        let mut asked = JoinSet::new();
        for place in places {
            let (ways, settings) = (self.seeds.ways.clone(), Arc::clone(&self.settings));
            asked.spawn(async move { said(&ways, &settings, &place).await });
        }
        let mut newest: Option<(u64, Layout)> = None;
        let mut why = LinkError::NoMap;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(said)) if newest.as_ref().is_none_or(|(epoch, _)| said.0 > *epoch) => {
                    newest = Some(said)
                }
                Ok(Err(error)) if error.is_misfit() => why = error,
                Ok(Ok(_) | Err(_)) | Err(_) => {}
            }
        }
        newest.map(|(_, layout)| layout).ok_or(why)
    }

    /// Servers whose slots are the same stay what they are, with their connections.
    fn take(&self, layout: &Layout) -> Result<(), LinkError> {
        let held = self.map();
        if held.has(layout) {
            return Ok(());
        }
        let mut members = BTreeMap::new();
        for (place, ranges) in layout {
            let node = match held.members.get(place) {
                Some(member) if member.ranges == *ranges => member.node.clone(),
                Some(_) | None => self.member(place, ranges)?.map(Arc::new),
            };
            let ranges = ranges.clone();
            members.insert(place.clone(), Member { ranges, node });
        }
        tracing::info!(
            primaries = members.len(),
            "the cluster's slots lie elsewhere than before"
        );
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Map { members });
        Ok(())
    }

    fn member(&self, (host, port): &Place, ranges: &Ranges) -> Result<Option<Node>, LinkError> {
        let Some(names) = Names::among(&self.settings.prefix, ranges) else {
            tracing::error!(
                host,
                port,
                "a server of the cluster has too few slots in line to hold an epoch"
            );
            return Ok(None);
        };
        let client = self.seeds.ways.named(host, *port)?;
        let servers = Servers::Member(client);
        Ok(Some(Node::new(&self.settings, servers, names, Epoch::unknown())))
    }
}

/// Until nobody has the cluster any more.
async fn watch(cluster: Weak<Cluster>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(cluster) = cluster.upgrade() else { return };
        // What fails is in the log and in `healthy` already.
        let _ = cluster.ask().await;
        let mut looks = JoinSet::new();
        for node in cluster.nodes() {
            looks.spawn(async move { node.look().await.is_ok() });
        }
        drop(cluster);
        looks.join_all().await;
    }
}

/// One server's opinion and how new its configuration is.
async fn said(ways: &Ways, settings: &Settings, (host, port): &Place) -> Result<(u64, Layout), LinkError> {
    let client: Client = ways.named(host, *port)?;
    let mut connection = settings.connect(&client).await?;
    let mut pipe = redis::pipe();
    pipe.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let (info, slots): (String, Vec<Value>) = match pipe.query_async(&mut connection).await {
        Ok(said) => said,
        Err(error) if error.to_string().contains("cluster support disabled") => {
            return Err(LinkError::NoCluster);
        }
        Err(error) => return Err(error.into()),
    };
    let field = |name| info.lines().find_map(|line| line.trim_end().strip_prefix(name));
    if field("cluster_state:") != Some("ok") {
        return Err(LinkError::NoMap);
    }
    let epoch = field("cluster_current_epoch:").and_then(|epoch| epoch.parse().ok());
    let mut layout = Layout::new();
    for row in slots {
        let (place, range) = row_of(row, host).ok_or(LinkError::Unknown("CLUSTER SLOTS"))?;
        layout.entry(place).or_default().push(range);
    }
    for ranges in layout.values_mut() {
        ranges.sort_unstable_by_key(|range| *range.start());
    }
    Ok((epoch.ok_or(LinkError::Unknown("cluster_current_epoch"))?, layout))
}

/// First and last slot, then the primary's host and port. An empty host is the one that was asked.
fn row_of(row: Value, asked: &str) -> Option<(Place, RangeInclusive<u16>)> {
    let Value::Array(row) = row else { return None };
    let mut row = row.into_iter();
    let mut number = || u16::from_redis_value(row.next()?).ok();
    let range = number()?..=number()?;
    let Some(Value::Array(primary)) = row.next() else {
        return None;
    };
    let mut primary = primary.into_iter();
    let host = Option::<String>::from_redis_value(primary.next()?).ok()?;
    let port = u16::from_redis_value(primary.next()?).ok()?;
    let host = host
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| asked.to_owned());
    Some(((host, port), range))
}
