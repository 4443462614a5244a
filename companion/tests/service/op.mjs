// A real OpenID provider: node op.mjs PORT REDIRECT_URI. Prints `up` when it listens. Whoever signs in is who they say;
// whoever is asked by the backchannel agrees after 300 ms, except `carol`, who denies.
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const CIBA = 'urn:openid:params:grant-type:ciba';
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'agent', client_secret: 's3cret', grant_types: [CIBA], redirect_uris: [], response_types: [],
      backchannel_token_delivery_mode: 'poll',
    },
    { client_id: 'pages', client_secret: 's3cret', redirect_uris: [redirectUri], application_type: 'native' },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['not a secret'] },
  pkce: { required: () => true },
  async findAccount(_, sub) {
    return { accountId: sub, claims: async () => ({ sub: `id-${sub}`, preferred_username: sub }) };
  },
  features: {
    devInteractions: { enabled: true },
    ciba: {
      enabled: true,
      deliveryModes: ['poll'],
      async processLoginHint(_, hint) { return hint; },
      async validateRequestContext() {},
      async validateBindingMessage(_, message) {
        if (!/^[A-Za-z0-9-]{1,50}$/.test(message)) throw new Error('a binding message that phones refuse');
      },
      async verifyUserCode() {},
      async triggerAuthenticationDevice(_, request, account, client) {
        setTimeout(async () => {
          if (account.accountId === 'carol') {
            const { AccessDenied } = (await import('oidc-provider')).errors;
            return provider.backchannelResult(request, new AccessDenied('carol said no'));
          }
          const grant = new provider.Grant({ clientId: client.clientId, accountId: account.accountId });
          grant.addOIDCScope('openid profile');
          await grant.save();
          return provider.backchannelResult(request, grant, {});
        }, 300);
      },
    },
  },
});
provider.on('server_error', (_, error) => console.error('server_error', error));
provider.on('grant.error', (_, error) => console.error('grant.error', error.message, error.error_description));
provider.listen(Number(port), '127.0.0.1', () => console.log('up'));
