import { type Static, Type } from '@sinclair/typebox'
import { MANIFEST_BYTES_MAX } from '../oci/manifest.ts'
import { UpstreamSchema } from './upstream-schema.ts'

const MiB = 1024 * 1024
const TiB = MiB * MiB

const integer = (minimum: number, maximum: number, value: number, description: string) =>
  Type.Integer({ minimum, maximum, default: value, description })

const choice = <const T extends string[]>(values: T, value: T[number], description: string) =>
  Type.Union(
    values.map((name) => Type.Literal(name as T[number])),
    { default: value, description },
  )

const boolean = (value: boolean, description: string) => Type.Boolean({ default: value, description })

/** Every setting, with its unit, bounds, default, and what it is for. Their names come from these paths. */
export const ConfigSchema = Type.Object(
  {
    listen: Type.Array(Type.String(), {
      minItems: 1,
      default: ['127.0.0.1:5000', '[::1]:5000'],
      description: 'Addresses to listen on, HOST:PORT; port 0 takes a free one',
    }),
    tls: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'off, auto (cay makes its own authority and certificate), or CERTIFICATE.pem,KEY.pem',
      }),
    ),
    host: Type.Array(Type.String(), {
      default: [],
      description: 'Further names and addresses of this host, for the certificate that tls auto makes',
    }),
    data: Type.String({ minLength: 1, description: 'The folder that holds everything' }),
    metadata: Type.Optional(
      Type.String({ minLength: 1, description: 'Another folder for the database, on a local disk' }),
    ),
    access: choice(
      ['accounts', 'open'],
      'accounts',
      'Who may do what: by accounts and grants, or everybody everything (loopback only)',
    ),
    externalUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^/]+$',
        description:
          'The scheme, host and port that clients use, behind a proxy; by default what a request says',
      }),
    ),
    trustedProxies: Type.Array(Type.String(), {
      default: [],
      description: 'Proxies whose Forwarded and X-Forwarded-* are believed: addresses, or ADDRESS/BITS',
    }),
    upstream: Type.Array(UpstreamSchema, {
      default: [],
      description: 'Registries whose content is cached under their name: names, or [[upstream]] tables',
    }),
    mirror: Type.Array(Type.String(), {
      default: [],
      description: 'UPSTREAM=HOST:PORT: further listeners, which Docker takes for a mirror of the upstream',
    }),
    log: Type.Object(
      {
        level: choice(['debug', 'info', 'warn', 'error'], 'info', 'What is logged; pulls are at debug'),
        format: choice(['auto', 'json', 'pretty'], 'auto', 'auto is pretty on a terminal, JSON elsewhere'),
      },
      { additionalProperties: false },
    ),
    manifests: Type.Object(
      {
        bytesMax: integer(4 * MiB, MANIFEST_BYTES_MAX, 4 * MiB, 'The largest manifest, in bytes'),
        bodyBytesMax: integer(
          4 * MiB,
          1024 * MiB,
          16 * MiB,
          'Memory for manifests being pushed, in bytes; others wait',
        ),
        cacheBytesMax: integer(
          0,
          4096 * MiB,
          32 * MiB,
          'Memory for manifests that are pulled again, in bytes',
        ),
        sparse: choice(
          ['none', 'index', 'all'],
          'index',
          'What a manifest may name that is not here: nothing, children of an index, or also layers and configs',
        ),
      },
      { additionalProperties: false },
    ),
    artifacts: Type.Object(
      {
        allow: Type.Array(Type.String(), {
          default: [],
          description:
            'PATTERN=TYPE,TYPE: repositories of the pattern take only these artifact types (image: images and indexes)',
        }),
      },
      { additionalProperties: false },
    ),
    docker: Type.Object(
      {
        schema1: Type.Object(
          {
            push: boolean(true, 'Whether manifests of Docker schema 1 are taken'),
            unsigned: boolean(false, 'Whether they are also taken without a signature'),
            pull: choice(
              ['auto', 'always', 'never'],
              'auto',
              'Whether images are converted to schema 1: for clients that ask for it, also without Accept, never',
            ),
          },
          { additionalProperties: false },
        ),
        v1: boolean(true, "Whether images can be pulled by Docker's V1 API, too"),
        v1Fallback: boolean(true, 'Whether /v2/ answers 404 to Docker before 1.6, so that it comes to V1'),
      },
      { additionalProperties: false },
    ),
    blobs: Type.Object(
      { bytesMax: integer(1, 1024 * TiB, TiB, 'The largest blob, in bytes') },
      { additionalProperties: false },
    ),
    uploads: Type.Object(
      {
        poolBytes: integer(MiB, 1024 * MiB, 32 * MiB, 'Memory for all uploads together, in bytes'),
        digesters: integer(1, 64, 2, 'Threads that hash and write uploads'),
        idleSecondsMax: integer(
          60,
          31_536_000,
          86_400,
          'An upload that did not grow for so many seconds is dropped',
        ),
        stallSecondsMax: integer(
          1,
          240,
          60,
          'A request whose body brings nothing for so many seconds is ended',
        ),
      },
      { additionalProperties: false },
    ),
    gc: Type.Object(
      {
        graceSeconds: integer(
          1,
          31_536_000,
          86_400,
          'What a push in progress may name is kept for so many seconds; nothing is collected in the first of them',
        ),
        windowSeconds: integer(
          1,
          315_360_000,
          1_209_600,
          'What was deleted, or lost its last tag, can be brought back for so many seconds',
        ),
        untaggedDays: integer(
          0,
          36_500,
          0,
          'Days until a manifest goes that never had a tag, where its repository says nothing else; 0 keeps it',
        ),
        intervalSeconds: integer(1, 86_400, 3600, 'How often garbage is looked for, in seconds'),
      },
      { additionalProperties: false },
    ),
    http: Type.Object(
      {
        requestsPerAddressMax: integer(
          1,
          1_000_000,
          512,
          'Requests in flight of one client address (IPv6: of one /64 network); trusted proxies are not counted',
        ),
        hstsSeconds: integer(
          0,
          315_360_000,
          0,
          'For how long browsers may reach this host by HTTPS only (HSTS: on every port); 0 leaves it open',
        ),
      },
      { additionalProperties: false },
    ),
    grants: Type.Object(
      {
        publicByAdminsOnly: boolean(
          true,
          'Whether only server admins grant to anonymous and authenticated; otherwise users do so in their namespaces',
        ),
        namespaceMax: integer(1, 100_000, 1000, 'Grants on the repositories of one namespace'),
        subjectMax: integer(1, 100_000, 10_000, 'Grants to one subject: an account, a group, or everybody'),
      },
      { additionalProperties: false },
    ),
    cache: Type.Object(
      {
        bytesMax: integer(0, 1024 * TiB, 0, 'Bytes that cached blobs may take; 0 for no limit but the disk'),
        freeBytesMin: Type.Optional(
          Type.Integer({
            minimum: 0,
            maximum: 1024 * TiB,
            description: 'Bytes of the volume that the cache leaves free; by default 10 %, at most 10 GiB',
          }),
        ),
        freshSeconds: integer(0, 31_536_000, 300, 'How long a cached tag is served without a check'),
        staleWhileRevalidateSeconds: integer(
          0,
          31_536_000,
          300,
          'How long after that it is served while the check runs behind',
        ),
        deadlineMilliseconds: integer(
          1,
          60_000,
          3000,
          'How long a client waits for a check where there is a cached copy',
        ),
        firstByteSecondsMax: integer(1, 60, 20, 'How long a client waits for an upstream that must answer'),
        stallSecondsMax: integer(
          1,
          240,
          15,
          'A download from an upstream that brings nothing for so many seconds is begun again',
        ),
        fillsMax: integer(1, 200, 64, 'Blobs that are fetched at once from all upstreams'),
        offline: boolean(false, 'Whether upstreams are never asked'),
      },
      { additionalProperties: false },
    ),
    lists: Type.Object(
      { pageMax: integer(1, 100_000, 1000, 'Entries of one page of tags or repositories') },
      { additionalProperties: false },
    ),
    metrics: Type.Object(
      {
        access: choice(
          ['admin', 'anonymous', 'off'],
          'admin',
          'Who may read /metrics: a server admin, anybody, or nobody',
        ),
      },
      { additionalProperties: false },
    ),
    shutdown: Type.Object(
      { secondsMax: integer(0, 3600, 30, 'How many seconds requests in flight have to end after SIGTERM') },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
)

export type Config = Static<typeof ConfigSchema>
