// A certified OpenID provider that exchanges tokens: node exchange_op.mjs PORT PUBLIC_JWK. Prints `{"bob": TOKEN, "agent": TOKEN}` and
// then `up`. Clients: `basic`, `post` (secret `s3cret`), `key` (private_key_jwt). Tokens for audiences below https://opaque.example are opaque.
import Provider, { errors } from 'oidc-provider';
import { generateKeyPair, exportJWK, createLocalJWKSet, jwtVerify, SignJWT } from 'jose';

const [port, publicJwk] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const TYPE = 'urn:ietf:params:oauth:token-type:';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const jwk = { ...(await exportJWK(privateKey)), kid: 'k1', use: 'sig', alg: 'ES256' };
const server = (audience) => ({
  scope: 'read write', audience, accessTokenTTL: 60,
  ...(audience.startsWith('https://opaque.example')
    ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
});
const client = (client_id, more) => ({
  client_id, grant_types: ['client_credentials', EXCHANGE], redirect_uris: [], response_types: [],
  id_token_signed_response_alg: 'ES256', ...more,
});
const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  clients: [
    client('basic', { client_secret: 's3cret', token_endpoint_auth_method: 'client_secret_basic' }),
    client('post', { client_secret: 's3cret', token_endpoint_auth_method: 'client_secret_post' }),
    client('key', {
      token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [JSON.parse(publicJwk)] },
    }),
  ],
  async findAccount(_, sub) { return { accountId: sub, claims: async () => ({ sub }) }; },
  async extraTokenClaims(_, token) { return token.extra?.act ? { act: token.extra.act } : undefined; },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true, defaultResource: () => 'https://api.example', useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => server(resource),
    },
  },
});
const keys = createLocalJWKSet({ keys: [(({ d, ...rest }) => rest)(jwk)] });
const verified = async (token) => {
  try { return (await jwtVerify(token, keys, { issuer })).payload; } catch { throw new errors.InvalidGrant('not our token'); }
};
provider.registerGrantType(EXCHANGE, async (ctx) => {
  const asked = ctx.oidc.params;
  if (asked.subject_token_type !== `${TYPE}access_token`) throw new errors.InvalidRequest('subject_token_type');
  const subject = await verified(asked.subject_token);
  const actor = asked.actor_token && await verified(asked.actor_token);
  const have = new Set(subject.scope.split(' '));
  const scope = asked.scope ?? '';
  for (const one of scope.split(' ').filter(Boolean)) if (!have.has(one)) throw new errors.InvalidScope('more than the subject has', one);
  const token = new provider.AccessToken({
    accountId: subject.sub, client: ctx.oidc.client, gty: EXCHANGE, scope, claims: {},
    extra: actor ? { act: { sub: actor.sub, ...(subject.act ? { act: subject.act } : {}) } } : undefined,
  });
  token.resourceServer = new provider.ResourceServer(asked.audience, server(asked.audience));
  ctx.oidc.entity('AccessToken', token);
  ctx.body = {
    access_token: await token.save(), issued_token_type: `${TYPE}access_token`, token_type: token.tokenType,
    expires_in: token.expiration, scope: token.scope,
  };
}, new Set(['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'audience', 'scope']), new Set());
provider.on('server_error', (_, error) => console.error('server_error', error));
const issued = (sub) => new SignJWT({ scope: 'read write' }).setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
  .setIssuer(issuer).setSubject(sub).setAudience('gateway').setIssuedAt().setExpirationTime('10m').sign(privateKey);
const tokens = { bob: await issued('bob'), agent: await issued('agent') };
provider.listen(Number(port), '127.0.0.1', () => console.log(`${JSON.stringify(tokens)}\nup`));
