import { type Static, Type } from '@sinclair/typebox'
import { boolean, integer, table, text } from './setting.ts'

const texts = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { maxItems: 100, default: [], description })

/** One `[[upstream]]`: a registry whose content is cached. */
export const UpstreamSchema = table({
  name: Type.String({
    pattern: '^[a-z0-9]+([._-][a-z0-9]+)*$',
    maxLength: 100,
    description: 'The first component of its repository names in cay, for example docker.io',
  }),
  url: Type.Optional(
    Type.String({
      pattern: '^https?://[^/@]+',
      example: 'https://registry.example:5000',
      description: 'The http or https URL of its registry [https:// and the name]',
    }),
  ),
  hosts: texts('More names that containerd can use for it (ns)'),
  mirrors: texts('URLs of registries to try, in order, if it does not have the content or does not respond'),
  redirects: texts(
    'Hosts that it can redirect to, even if their address is private: HOST, HOST:PORT or *.DOMAIN',
  ),
  proxy: text('The URL of a proxy, or none [from the environment]'),
  username: text('The account for pulls'),
  password: text('Its password or token'),
  passwordFile: text('A file that contains the password'),
  tokenFile: text('A file that contains a Bearer token'),
  credentials: text("A Docker config.json with a plain entry for the registry's host"),
  ca: text('A PEM file of authorities to trust besides those of the system'),
  repositories: texts('Patterns of the repositories that can be pulled [all]'),
  private: boolean(false, 'Never serve its blobs in repositories of other upstreams'),
  connections: integer(1, 128, 32, 'The most blobs that are fetched at the same time'),
  bytesPerSecond: integer(0, 1e12, 0, 'The total rate of fetching blobs, in bytes per second; 0: no limit'),
  freshSeconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 31_536_000, description: 'Overrides cache.fresh-seconds' }),
  ),
  gone: Type.Union([Type.Literal('keep'), Type.Literal('drop')], {
    default: 'keep',
    description: 'Whether to keep or drop a cached tag that the upstream no longer has',
  }),
  refused: Type.Union([Type.Literal('serve'), Type.Literal('refuse')], {
    default: 'serve',
    description: 'Whether to serve or refuse a cached tag that the upstream refuses',
  }),
  offline: boolean(false, 'Serve only cached content, and never connect to it'),
})

export type UpstreamConfig = Static<typeof UpstreamSchema>

const {
  passwordFile: _,
  tokenFile: _t,
  credentials: _c,
  name: _n,
  password: _p,
  ...shared
} = UpstreamSchema.properties

/** The settings of an upstream that is managed with the API: no files of the server's, and no secrets. */
export const ManagedUpstreamSchema = table({
  ...shared,
  ca: text('PEM certificates of authorities to trust besides those of the system'),
})

export type ManagedUpstream = Static<typeof ManagedUpstreamSchema>

/** The secrets of an upstream, which are written and never read back. */
export const UpstreamSecretsSchema = {
  password: Type.Optional(
    Type.String({ minLength: 1, maxLength: 10_000, description: 'The password or token of the username' }),
  ),
  token: Type.Optional(
    Type.String({ minLength: 1, maxLength: 10_000, description: 'A Bearer token, instead of a username' }),
  ),
}
