// One session of the official TypeScript SDK's client that knows nothing of policy: `client.mjs URL TOKEN PACKAGE [MODE]`.
//
// PACKAGE is `sdk` (the first line of the SDK) or `client` (the second), found beside the folder in INTEROP_MODULES. Prints a line of
// JSON for each step: its name, what came of it in a word, how long it took.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [url, token, line, mode] = process.argv.slice(2);
const from = createRequire(pathToFileURL(process.env.INTEROP_MODULES + '/'));
const load = async (name) => import(pathToFileURL(from.resolve(name)));
const PATIENCE = 60_000;

let Client, Transport, updated;
if (line === 'sdk') {
  ({ Client } = await load('@modelcontextprotocol/sdk/client/index.js'));
  ({ StreamableHTTPClientTransport: Transport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js'));
  ({ ResourceUpdatedNotificationSchema: updated } = await load('@modelcontextprotocol/sdk/types.js'));
} else {
  ({ Client, StreamableHTTPClientTransport: Transport } = await load('@modelcontextprotocol/client'));
  updated = 'notifications/resources/updated';
}

const say = (step, outcome, started) =>
  console.log(JSON.stringify({ step, outcome: String(outcome).slice(0, 200), ms: Date.now() - started }));

async function step(name, what) {
  const started = Date.now();
  let timer;
  const limit = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error('hangs')), PATIENCE)));
  try {
    say(name, await Promise.race([what(), limit]), started);
  } catch (error) {
    const code = typeof error.code === 'number' && error.code < 0 ? `error ${error.code}` : null;
    say(name, error.message === 'hangs' ? 'hangs' : code ?? `refused ${error.name} ${error.message}`, started);
  } finally {
    clearTimeout(timer);
  }
}

const client = (headers) => {
  const options = mode ? { versionNegotiation: { mode } } : {};
  const made = new Client({ name: 'aplomb-interop', version: '1' }, { capabilities: {}, ...options });
  return [made, new Transport(new URL(url), { requestInit: { headers } })];
};
const text = async (call) => {
  const result = await call;
  return result.isError ? 'isError' : result.content[0].text;
};

const [made, transport] = client({ authorization: `Bearer ${token}` });
const call = (name, args = {}, ...more) => made.callTool({ name, arguments: args }, ...more);
const simple = () => text(call('test_simple_text'));
// The two lines of the SDK differ in where options stand.
const withProgress = (onprogress) => (line === 'sdk' ? [undefined, { onprogress }] : [{ onprogress }]);

let version;
await step('initialize', async () => {
  await made.connect(transport);
  version = transport.protocolVersion ?? made.getNegotiatedProtocolVersion?.();
  return version;
});
await step('list', async () => {
  const names = (await made.listTools()).tools.map((tool) => tool.name);
  const yes = (name) => (names.includes(name) ? 'True' : 'False');
  return `employee ${yes('employee')}, forbidden ${yes('forbidden')}`;
});
await step('call', simple);
await step('stream', async () => {
  let seen = 0;
  await call('steps', { count: 3 }, ...withProgress(() => (seen += 1)));
  return `${seen} notifications`;
});
await step('redacted', async () => {
  const result = await call('employee');
  return `${JSON.parse(result.content[0].text).ssn} ${result.structuredContent.ssn}`;
});
await step('prompt', async () => {
  const result = await made.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'a', arg2: 'b' } });
  return `${(await made.listPrompts()).prompts.length} prompts, ${result.messages[0].content.text}`;
});
await step('resource', async () => {
  const count = (await made.listResources()).resources.length;
  const result = await made.readResource({ uri: 'test://static-text' });
  return `${count} resources, ${result.contents[0].text}`;
});
await step('notification', async () => {
  if (version >= '2026') {
    const notified = new Promise((resolve) => made.setNotificationHandler('notifications/tools/list_changed', () => resolve('notified')));
    const stop = await made.listen({ toolsListChanged: true });
    await call('test_trigger_tool_change');
    const outcome = await notified;
    await stop.close();
    return outcome;
  }
  const notified = new Promise((resolve) => made.setNotificationHandler(updated, () => resolve('notified')));
  await made.subscribeResource({ uri: 'test://watched-resource' });
  return notified;
});
await step('denied', () => text(call('forbidden')));
await step('after a denial', simple);
await step('pending', () => text(call('guarded')));
await step('after an approval was asked', simple);
await step('unauthorized', () => text(call('elsewhere')));
await step('after a 401', simple);
await made.close().catch(() => {});
await step('stranger', async () => {
  const [other, way] = client({ authorization: 'Bearer nonsense' });
  await other.connect(way);
  return 'let in';
});
process.exit(0);
