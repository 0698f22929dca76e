import { type Static, Type } from '@sinclair/typebox'

const texts = (description: string) => Type.Array(Type.String({ minLength: 1 }), { default: [], description })
const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))

/** One `[[upstream]]`: a registry that content is cached of. */
export const UpstreamSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z0-9]+([._-][a-z0-9]+)*$',
      maxLength: 100,
      description: 'The first component of its repositories here, for example docker.io',
    }),
    url: Type.Optional(
      Type.String({
        pattern: '^https?://[^/@]+',
        description: 'Its registry; by default https:// and the name',
      }),
    ),
    hosts: texts('Further names that containerd may call it by (ns)'),
    mirrors: texts(
      'URLs of registries that are asked when it has something not, or does not answer, in order',
    ),
    redirects: texts('Hosts that it may redirect to, whatever their address: HOST, HOST:PORT or *.DOMAIN'),
    proxy: text('The URL of a proxy, or none; by default what the environment says'),
    username: text('The account that pulls'),
    password: text('Its password or token'),
    passwordFile: text('A file that holds the password'),
    tokenFile: text('A file that holds a Bearer token'),
    credentials: text("A Docker config.json whose plain entry for the registry's host is used"),
    ca: text('A file of PEM certificates that are trusted besides the system'),
    repositories: texts('Patterns of the names that may be asked for; by default all'),
    private: Type.Boolean({ default: false, description: 'Its blobs are lent to no other upstream' }),
    connections: Type.Integer({
      minimum: 1,
      maximum: 128,
      default: 32,
      description: 'Blobs fetched at once',
    }),
    bytesPerSecond: Type.Integer({
      minimum: 0,
      maximum: 1e12,
      default: 0,
      description: 'How fast blobs are fetched together; 0 for no limit',
    }),
    freshSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 31_536_000, description: 'In place of cache.fresh-seconds' }),
    ),
    gone: Type.Union([Type.Literal('keep'), Type.Literal('drop')], {
      default: 'keep',
      description: 'What becomes of a cached tag that the upstream no longer has',
    }),
    refused: Type.Union([Type.Literal('serve'), Type.Literal('refuse')], {
      default: 'serve',
      description: 'Whether a cached tag is served that the upstream refuses',
    }),
    offline: Type.Boolean({ default: false, description: 'It is never asked' }),
  },
  { additionalProperties: false },
)

export type UpstreamConfig = Static<typeof UpstreamSchema>
