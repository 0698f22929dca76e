import { type Static, type TProperties, Type } from '@sinclair/typebox'
import { MANIFEST_BYTES_MAX } from '../oci/manifest.ts'

const MiB = 1024 * 1024
const TiB = MiB * MiB

/** A whole number. */
const integer = ([minimum, maximum, value]: [min: number, max: number, value: number], description: string) =>
  Type.Integer({ minimum, maximum, default: value, description })

/** A whole number that has no default. */
const optional = ([minimum, maximum]: [min: number, max: number], description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description }))

/** One of these words, by default the first. */
const choice = <const T extends string[]>(
  values: T,
  description: string,
  value: T[number] = values[0] ?? '',
) =>
  Type.Union(
    values.map((name) => Type.Literal(name as T[number])),
    { default: value, description },
  )

/** Yes or no. */
const boolean = (value: boolean, description: string) => Type.Boolean({ default: value, description })

/** Text that has no default. */
const text = (description: string) => Type.Optional(Type.String({ minLength: 1, description }))

/** Texts, none by default. */
const list = (description: string) => Type.Array(Type.String(), { default: [], description })

/** A table with these keys and no others. */
const table = <const T extends TProperties>(properties: T) =>
  Type.Object(properties, { additionalProperties: false })

/** The settings of scheduled backups. */
const BACKUP_SETTINGS = table({
  folder: text('The folder of scheduled backups; without it there are none'),
  intervalSeconds: integer([60, 31_536_000, 86_400], 'The interval of scheduled backups, in seconds'),
  keep: integer([1, 10_000, 7], 'How many snapshots scheduled backups keep'),
  withCache: boolean(false, 'Include content cached from upstreams'),
})

/** The settings of the cache of other registries. */
const CACHE_SETTINGS = table({
  bytesMax: integer([0, 1024 * TiB, 0], 'The most bytes of cached content; 0: no limit but the disk'),
  freeBytesMin: optional(
    [0, 1024 * TiB],
    'Bytes of the volume that the cache leaves free [10 %, at most 10 GiB]',
  ),
  freshSeconds: integer([0, 31_536_000, 300], 'How long a cached tag is served without a check, in seconds'),
  staleWhileRevalidateSeconds: integer(
    [0, 31_536_000, 300],
    'How long after that it is served while it is checked in the background, in seconds',
  ),
  deadlineMilliseconds: integer(
    [1, 60_000, 3000],
    'How long a client waits for a check before it gets the cached copy, in milliseconds',
  ),
  connectSecondsMax: integer(
    [1, 60, 5],
    'How long connecting to an upstream can take before its next mirror is asked, in seconds',
  ),
  firstByteSecondsMax: integer(
    [1, 60, 20],
    'How long a client waits for an upstream if there is no cached copy, in seconds',
  ),
  stallSecondsMax: integer(
    [1, 240, 15],
    'How long an upstream can send nothing; the download of a blob is then resumed, in seconds',
  ),
  manifestSecondsMax: integer(
    [1, 600, 60],
    'How long the whole body of a manifest, a list or a token can take, in seconds',
  ),
  totalSecondsMax: integer(
    [1, 604_800, 21_600],
    'How long the download of one blob can take in all; the next pull resumes it, in seconds',
  ),
  fillsMax: integer([1, 200, 64], 'The most blobs that are fetched at the same time'),
  offline: boolean(false, 'Serve only cached content, and never connect to upstreams'),
})

/** The limits of a quota. */
export const QUOTA_LIMITS = {
  bytesMax: optional(
    [0, 2 ** 50],
    'The most bytes of distinct blobs and of manifests, deleted ones included [no limit]',
  ),
  repositoriesMax: optional([0, 1_000_000_000], 'The most repositories [no limit]'),
  tagsMax: optional([0, 1_000_000_000], 'The most tags [no limit]'),
}

/** One `[[quota]]`: how much a namespace can hold. */
export const QuotaSchema = table({
  namespace: Type.String({
    pattern: '^(\\*\\*?|[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)$',
    maxLength: 255,
    description:
      'The first component of repository names; * for each without a quota of its own, ** for the whole server',
    example: 'alice',
  }),
  ...QUOTA_LIMITS,
})

const patterns = (description: string, example: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 255, example }), { maxItems: 100, description })
const days = (description: string) => optional([1, 36_500], description)

/** The settings of a retention policy. */
export const RETENTION_SETTINGS = {
  repositories: patterns('Patterns of its repositories', 'ci/**'),
  tags: Type.Array(Type.String({ minLength: 1, maxLength: 128, example: 'pr-*' }), {
    minItems: 1,
    maxItems: 100,
    default: ['*'],
    description: 'Patterns of the tags that can expire [all]',
  }),
  newest: optional([1, 10_000], 'Keep this many of the newest tags'),
  order: Type.Union([Type.Literal('pushed'), Type.Literal('version')], {
    default: 'pushed',
    description: 'What `newest` orders by; by version, only tags that are versions can expire',
  }),
  pushedDays: days('Keep tags that were pushed within this many days'),
  pulledDays: days('Keep tags that were pulled or pushed within this many days'),
  keep: Type.Array(Type.String({ minLength: 1, maxLength: 128, example: 'v*' }), {
    maxItems: 100,
    default: [],
    description: 'Keep tags that match these patterns, and do not count them as newest',
  }),
  untaggedDays: days('Days until a manifest that never had a tag becomes garbage'),
  includeImmutable: boolean(false, 'Whether immutable tags can expire, too'),
}

/** One `[[retention]]`: which tags of its repositories expire. */
export const RetentionSchema = table({
  name: Type.String({
    pattern: '^[a-z0-9]+([._-][a-z0-9]+)*$',
    maxLength: 64,
    description: 'Lowercase letters and digits, with ".", "_" or "-" between them',
    example: 'ci',
  }),
  ...RETENTION_SETTINGS,
})

/** The settings of the verification of stored content. */
const SCRUB_SETTINGS = table({
  days: integer([0, 3650, 30], 'In how many days all content is verified, a little each minute; 0: never'),
  bytesPerSecondMax: integer(
    [64 * 1024, 1024 * 1024 * MiB, 20 * MiB],
    'The maximum rate at which verification reads, in bytes per second',
  ),
  hours: Type.String({
    pattern: '^([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-4])$',
    default: '0-24',
    description:
      'The hours of the day in which content is verified, in local time: 1-5, or 22-6 over midnight. A blob that ' +
      'was begun is finished',
  }),
})

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
  connections: integer([1, 128, 32], 'The most blobs that are fetched at the same time'),
  bytesPerSecond: integer([0, 1e12, 0], 'The total rate of fetching blobs, in bytes per second; 0: no limit'),
  freshSeconds: optional([0, 31_536_000], 'Overrides cache.fresh-seconds'),
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

const secret = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 10_000, description }))

/** The secrets of an upstream, which are written and never read back. */
export const UpstreamSecretsSchema = {
  password: secret('The password or token of the username'),
  token: secret('A Bearer token, instead of a username'),
}

/** Every setting, with its unit, bounds, default and description. The names of settings are the paths of this schema. */
export const ConfigSchema = table({
  listen: Type.Array(Type.String(), {
    minItems: 1,
    default: ['127.0.0.1:5000', '[::1]:5000'],
    description: 'Addresses to listen on, HOST:PORT; port 0 chooses a free port',
  }),
  tls: text('off, auto (a certificate of its own authority), or CERTIFICATE.pem,KEY.pem'),
  host: list('More names and addresses of this host, for the certificate of tls = auto'),
  data: Type.String({ minLength: 1, description: 'The data folder, which contains everything' }),
  metadata: text('A separate folder for the database; must be on a local disk'),
  access: choice(
    ['accounts', 'open'],
    'accounts: require accounts with grants; open: everyone can do everything (loopback only)',
  ),
  externalUrl: Type.Optional(
    Type.String({
      pattern: '^https?://[^/]+$',
      examples: ['https://registry.example:5000'],
      description: 'The scheme, host and port that clients use, if cay cannot tell from the request',
    }),
  ),
  trustedProxies: list(
    'Proxies whose Forwarded and X-Forwarded-* headers are trusted: addresses, or ADDRESS/BITS',
  ),
  upstream: Type.Array(UpstreamSchema, {
    default: [],
    description: 'Registries to cache: names, or [[upstream]] tables',
  }),
  mirror: list('More listeners, UPSTREAM=HOST:PORT, each a registry mirror of one upstream for Docker'),
  retention: Type.Array(RetentionSchema, {
    default: [],
    description: 'Policies that decide which tags expire: [[retention]] tables',
  }),
  quota: Type.Array(QuotaSchema, {
    default: [],
    description: 'How much namespaces and the server can hold: [[quota]] tables',
  }),
  log: table({
    level: choice(
      ['debug', 'info', 'warn', 'error'],
      'The lowest level that is logged; requests, such as pulls, are logged at debug',
      'info',
    ),
    format: choice(
      ['auto', 'json', 'pretty'],
      'The format of the log; auto: pretty on a terminal, otherwise json',
    ),
  }),
  manifests: table({
    bytesMax: integer([4 * MiB, MANIFEST_BYTES_MAX, 4 * MiB], 'The largest manifest, in bytes'),
    bodyBytesMax: integer(
      [4 * MiB, 1024 * MiB, 16 * MiB],
      'Memory for manifests that are being pushed, in bytes; more of them wait',
    ),
    cacheBytesMax: integer([0, 4096 * MiB, 32 * MiB], 'Memory for the cache of manifests, in bytes'),
    sparse: choice(
      ['none', 'index', 'all'],
      'What a pushed manifest can refer to that is not stored: nothing, children of an index, or everything',
      'index',
    ),
  }),
  artifacts: table({
    allow: list(
      'PATTERN=TYPE,TYPE: repositories that match accept only these artifact types (image: images, indexes)',
    ),
  }),
  docker: table({
    schema1: table({
      push: boolean(true, 'Accept pushes of Docker schema 1 manifests'),
      unsigned: boolean(false, 'Also accept schema 1 manifests without a signature'),
      pull: choice(
        ['auto', 'always', 'never'],
        'When to convert pulled images to schema 1: for old clients, also for clients without Accept, or never',
      ),
    }),
    v1: boolean(true, "Serve pulls by Docker's V1 API"),
    v1Fallback: boolean(true, 'Answer 404 at /v2/ to Docker before 1.6, so that it falls back to V1'),
  }),
  blobs: table({ bytesMax: integer([1, 1024 * TiB, TiB], 'The largest blob, in bytes') }),
  uploads: table({
    poolBytes: integer([MiB, 1024 * MiB, 32 * MiB], 'Memory for all uploads together, in bytes'),
    digesters: integer([1, 64, 2], 'Threads that hash and write uploads'),
    idleSecondsMax: integer(
      [60, 31_536_000, 86_400],
      'How long an upload is kept that does not grow, in seconds',
    ),
    stallSecondsMax: integer(
      [1, 240, 60],
      'How long a request body can stall before the request is ended, in seconds',
    ),
  }),
  disk: table({
    freeBytesMin: integer(
      [0, TiB, 64 * MiB],
      'The free space below which /readyz and cay health fail, in bytes; 0: no check',
    ),
  }),
  gc: table({
    graceSeconds: integer(
      [1, 31_536_000, 86_400],
      'How long to keep content that a push in progress may refer to, in seconds; also the delay after a start',
    ),
    windowSeconds: integer(
      [1, 315_360_000, 1_209_600],
      'How long deleted and untagged content can be restored, in seconds',
    ),
    untaggedDays: integer(
      [0, 36_500, 0],
      'Days until a manifest that never had a tag is collected; 0: never; repositories can override this',
    ),
    intervalSeconds: integer(
      [1, 86_400, 3600],
      'The interval of retention and garbage collection, in seconds',
    ),
  }),
  backup: BACKUP_SETTINGS,
  scrub: SCRUB_SETTINGS,
  http: table({
    requestsPerAddressMax: integer(
      [1, 1_000_000, 512],
      'The most requests in flight of one client address (IPv6: one /64 network); trusted proxies have no limit',
    ),
    hstsSeconds: integer(
      [0, 315_360_000, 0],
      'How long browsers use only HTTPS for this host, on every port (HSTS), in seconds; 0: no header',
    ),
  }),
  grants: table({
    publicByAdminsOnly: boolean(
      true,
      'Only server admins can grant roles to anonymous and authenticated; false: users can, in their namespaces',
    ),
    namespaceMax: integer([1, 100_000, 1000], 'The most grants in one namespace'),
    subjectMax: integer(
      [1, 100_000, 10_000],
      'The most grants to one subject: an account, a group, authenticated or anonymous',
    ),
  }),
  cache: CACHE_SETTINGS,
  lists: table({
    pageMax: integer([1, 100_000, 1000], 'The most entries of one page of tags or repositories'),
  }),
  metrics: table({
    access: choice(
      ['admin', 'anonymous', 'off'],
      'Who can read /metrics: server admins, everybody, or nobody',
    ),
  }),
  shutdown: table({
    secondsMax: integer(
      [0, 3600, 30],
      'How long requests in flight can take to finish after SIGTERM, in seconds',
    ),
  }),
})

export type Config = Static<typeof ConfigSchema>
