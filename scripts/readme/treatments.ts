import type { Block } from './blocks.ts'

/** How a block is tried. */
export interface Trial {
  /** Commands that bring about what the page presupposes. They can use the functions of the sandbox. */
  before?: string
  /** The block is about the first password. */
  isFirstStart?: boolean
}

/** What is done with a block: it is run, read as a configuration, or not tried at all. */
export type Treatment = ({ by: 'shell' } & Trial) | { by: 'config' } | { by: 'nothing'; reason: string }

const IMAGE = 'cay serve; push team/app 1.0; push app v1; DIGEST=$(digest app v1)'

/** The treatment of each block, by its page, its heading and the beginning of its first line. */
const TREATMENTS: readonly [place: string, begins: string, Treatment][] = [
  [
    'README.md cay',
    'npm start',
    { by: 'nothing', reason: 'installs from the internet; CI begins with these commands' },
  ],
  [
    'README.md Install',
    'sha256sum',
    {
      by: 'shell',
      before: 'cp "$(type -P cay)" cay-linux-x64; sha256sum cay-linux-x64 > SHA256SUMS',
    },
  ],
  [
    'README.md In Docker or podman',
    'skopeo copy',
    { by: 'nothing', reason: 'needs a registry.example; `bun scripts/main.ts installs` runs the image' },
  ],
  ['README.md First start', 'cay serve', { by: 'shell', isFirstStart: true }],
  [
    'README.md Push and pull',
    'docker login',
    { by: 'nothing', reason: 'needs these clients; `bun run clients` tries them' },
  ],
  [
    'README.md Push and pull',
    'skopeo copy',
    { by: 'nothing', reason: 'needs these clients; `bun run clients` tries them' },
  ],
  ['README.md Serve other hosts with TLS', 'cay serve', { by: 'shell' }],
  ['README.md Behind a reverse proxy', 'trusted-proxies', { by: 'config' }],
  [
    'README.md Behind a reverse proxy',
    'server {',
    { by: 'nothing', reason: 'needs nginx and a certificate' },
  ],
  [
    'README.md Users, robots and grants',
    'cay user create alice',
    {
      by: 'shell',
      before: `cay serve; push team/app 1.0
echo 'bob:$2b$04$GpXt6Y5ftqvb9l9fdoR7VeNrTPqhPeiYP4IfCkHRSsPAhCyQbLQWy' > htpasswd`,
    },
  ],
  [
    'README.md Cache other registries',
    '$ cay serve --upstream',
    { by: 'nothing', reason: 'needs the internet; `bun run clients` pulls through a cache' },
  ],
  ['README.md Cache other registries', '[[upstream]]', { by: 'config' }],
  [
    'README.md Cache other registries',
    '$ cay upstream create',
    { by: 'shell', before: 'cay serve; echo secret > ghcr-token' },
  ],
  ['README.md Run it', 'cay serve', { by: 'shell', before: 'mkdir -p /srv' }],
  ['README.md Logs', 'cay repo pulls', { by: 'shell', before: IMAGE }],
  ['README.md Logs', '[Definition]', { by: 'nothing', reason: 'test/http/fail2ban.test.ts tries it' }],
  ['README.md Logs', '[cay]', { by: 'nothing', reason: 'bans addresses of this host' }],
  [
    'README.md Undo',
    'cay tag history',
    { by: 'shell', before: `${IMAGE}; push app pr-17; age 3; push app v1 newer` },
  ],
  [
    'README.md Expire old tags',
    '$ cay retention test',
    { by: 'shell', before: 'cay serve; push ci/app pr-1; push prod/app 1.0' },
  ],
  ['README.md Expire old tags', '[[retention]]', { by: 'config' }],
  ['README.md Garbage collection', 'cay gc', { by: 'shell', before: IMAGE }],
  ['README.md Back up and restore', 'cay backup', { by: 'shell', before: `${IMAGE}; mkdir -p /mnt /srv` }],
  ['README.md Restrict what can be pushed', '[artifacts]', { by: 'config' }],
  [
    'README.md The command line',
    'export CAY_SERVER',
    {
      by: 'shell',
      before: 'cay serve; CAY_TOKEN=$(token); echo "$CAY_TOKEN" > ~/.cay-token; unset CAY_TOKEN',
    },
  ],
  [
    'README.md The API',
    'api() {',
    {
      by: 'shell',
      before: `${IMAGE}; push team/app v1; CAY_TOKEN=$(token); cay group create team; cay user create alice; cay robot create alice+ci`,
    },
  ],
]

/** Returns what is done with a block. Undefined for a block that the table does not have. */
export function treatmentOf({ page, section, name }: Pick<Block, 'page' | 'section' | 'name'>) {
  return TREATMENTS.find(([place, begins]) => place === `${page} ${section}` && name.startsWith(begins))?.[2]
}
