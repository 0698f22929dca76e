import { type Static, Type } from '@sinclair/typebox'
import { MANIFEST_BYTES_MAX } from '../oci/manifest.ts'
import { BACKUP_SETTINGS } from './backup-settings.ts'
import { CACHE_SETTINGS } from './cache-settings.ts'
import { QuotaSchema } from './quota-schema.ts'
import { RetentionSchema } from './retention-schema.ts'
import { SCRUB_SETTINGS } from './scrub-settings.ts'
import { boolean, choice, integer, list, MiB, TiB, table, text } from './setting.ts'
import { UpstreamSchema } from './upstream-schema.ts'

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
    'accounts',
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
      'info',
      'The lowest level that is logged; requests, such as pulls, are logged at debug',
    ),
    format: choice(
      ['auto', 'json', 'pretty'],
      'auto',
      'The format of the log; auto: pretty on a terminal, otherwise json',
    ),
  }),
  manifests: table({
    bytesMax: integer(4 * MiB, MANIFEST_BYTES_MAX, 4 * MiB, 'The largest manifest, in bytes'),
    bodyBytesMax: integer(
      4 * MiB,
      1024 * MiB,
      16 * MiB,
      'Memory for manifests that are being pushed, in bytes; more of them wait',
    ),
    cacheBytesMax: integer(0, 4096 * MiB, 32 * MiB, 'Memory for the cache of manifests, in bytes'),
    sparse: choice(
      ['none', 'index', 'all'],
      'index',
      'What a pushed manifest can refer to that is not stored: nothing, children of an index, or everything',
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
        'auto',
        'When to convert pulled images to schema 1: for old clients, also for clients without Accept, or never',
      ),
    }),
    v1: boolean(true, "Serve pulls by Docker's V1 API"),
    v1Fallback: boolean(true, 'Answer 404 at /v2/ to Docker before 1.6, so that it falls back to V1'),
  }),
  blobs: table({ bytesMax: integer(1, 1024 * TiB, TiB, 'The largest blob, in bytes') }),
  uploads: table({
    poolBytes: integer(MiB, 1024 * MiB, 32 * MiB, 'Memory for all uploads together, in bytes'),
    digesters: integer(1, 64, 2, 'Threads that hash and write uploads'),
    idleSecondsMax: integer(
      60,
      31_536_000,
      86_400,
      'How long an upload is kept that does not grow, in seconds',
    ),
    stallSecondsMax: integer(
      1,
      240,
      60,
      'How long a request body can stall before the request is ended, in seconds',
    ),
  }),
  disk: table({
    freeBytesMin: integer(
      0,
      TiB,
      64 * MiB,
      'The free space below which /readyz and cay health fail, in bytes; 0: no check',
    ),
  }),
  gc: table({
    graceSeconds: integer(
      1,
      31_536_000,
      86_400,
      'How long to keep content that a push in progress may refer to, in seconds; also the delay after a start',
    ),
    windowSeconds: integer(
      1,
      315_360_000,
      1_209_600,
      'How long deleted and untagged content can be restored, in seconds',
    ),
    untaggedDays: integer(
      0,
      36_500,
      0,
      'Days until a manifest that never had a tag is collected; 0: never; repositories can override this',
    ),
    intervalSeconds: integer(1, 86_400, 3600, 'The interval of retention and garbage collection, in seconds'),
  }),
  backup: BACKUP_SETTINGS,
  scrub: SCRUB_SETTINGS,
  http: table({
    requestsPerAddressMax: integer(
      1,
      1_000_000,
      512,
      'The most requests in flight of one client address (IPv6: one /64 network); trusted proxies have no limit',
    ),
    hstsSeconds: integer(
      0,
      315_360_000,
      0,
      'How long browsers use only HTTPS for this host, on every port (HSTS), in seconds; 0: no header',
    ),
  }),
  grants: table({
    publicByAdminsOnly: boolean(
      true,
      'Only server admins can grant roles to anonymous and authenticated; false: users can, in their namespaces',
    ),
    namespaceMax: integer(1, 100_000, 1000, 'The most grants in one namespace'),
    subjectMax: integer(
      1,
      100_000,
      10_000,
      'The most grants to one subject: an account, a group, authenticated or anonymous',
    ),
  }),
  cache: CACHE_SETTINGS,
  lists: table({
    pageMax: integer(1, 100_000, 1000, 'The most entries of one page of tags or repositories'),
  }),
  metrics: table({
    access: choice(
      ['admin', 'anonymous', 'off'],
      'admin',
      'Who can read /metrics: server admins, everybody, or nobody',
    ),
  }),
  shutdown: table({
    secondsMax: integer(
      0,
      3600,
      30,
      'How long requests in flight can take to finish after SIGTERM, in seconds',
    ),
  }),
})

export type Config = Static<typeof ConfigSchema>
