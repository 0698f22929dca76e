import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { runCommand } from './command.ts'

const buildSecondsMax = 1800

/** A tool that is built from its Go module, `module@version`, into the cache. */
interface GoTool {
  module: string
  version: string
}

/** A tool of a Debian package, at the version of this Debian. */
interface DebianTool {
  package: string
  path: string
}

/** What the project is tried with and measured against: each tool, its version, and how it comes. */
export const tools = {
  conformance: {
    module: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
  },
  crane: { module: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  oras: { module: 'oras.land/oras/cmd/oras', version: 'v1.3.6' },
  helm3: { module: 'helm.sh/helm/v3/cmd/helm', version: 'v3.22.0' },
  helm4: { module: 'helm.sh/helm/v4/cmd/helm', version: 'v4.3.1' },
  registry: { module: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  docker: { package: 'docker.io', path: '/usr/bin/docker' },
  dockerd: { package: 'docker.io', path: '/usr/sbin/dockerd' },
  skopeo: { package: 'skopeo', path: '/usr/bin/skopeo' },
  podman: { package: 'podman', path: '/usr/bin/podman' },
  buildah: { package: 'buildah', path: '/usr/bin/buildah' },
  ip: { package: 'iproute2', path: '/usr/sbin/ip' },
  strace: { package: 'strace', path: '/usr/bin/strace' },
  'qemu-aarch64': { package: 'qemu-user', path: '/usr/bin/qemu-aarch64' },
  'docker-registry': { package: 'docker-registry', path: '/usr/bin/docker-registry' },
  nginx: { package: 'nginx-light', path: '/usr/sbin/nginx' },
  chromium: { package: 'chromium', path: '/usr/bin/chromium' },
  'libc-arm64': { package: 'libc6-arm64-cross', path: '/usr/aarch64-linux-gnu/lib/libc.so.6' },
} satisfies Record<string, GoTool | DebianTool>

export type ToolName = keyof typeof tools

/**
 * Brings tools to this machine, each once, and returns the paths of their executables by name.
 * Debian's packages need root.
 */
export async function bringTools(names: ToolName[]): Promise<Record<string, string>> {
  const rows = names.map((name): [ToolName, GoTool | DebianTool] => [name, tools[name]])
  const missing = rows.flatMap(([, tool]) =>
    'package' in tool && !existsSync(tool.path) ? [tool.package] : [],
  )
  if (missing.length > 0) await installPackages([...new Set(missing)])
  const paths: Record<string, string> = {}
  for (const [name, tool] of rows) paths[name] = 'package' in tool ? tool.path : await bringGoTool(tool)
  return paths
}

/** `toolchain [name...]`: brings the named tools, or all of them, and prints where they are. */
export async function run(args: string[]): Promise<void> {
  const isTool = (name: string): name is ToolName => name in tools
  const unknown = args.filter((name) => !isTool(name))
  if (unknown.length > 0) throw new Error(`no such tool: ${unknown.join(', ')}`)
  const names = (args.length > 0 ? args : Object.keys(tools)).filter(isTool)
  for (const [name, path] of Object.entries(await bringTools(names))) console.log(`${name} ${path}`)
}

/** Where built tools stay between runs, one folder a name and version. */
function cacheFolder(): string {
  return process.env.CAY_CLIENTS_CACHE ?? join(homedir(), '.cache', 'cay-clients')
}

async function bringGoTool(tool: GoTool): Promise<string> {
  const binary = tool.module.slice(tool.module.lastIndexOf('/') + 1)
  const folder = join(cacheFolder(), `${binary}-${tool.version}`)
  const path = join(folder, binary)
  if (existsSync(path)) return path
  await mkdir(cacheFolder(), { recursive: true })
  const building = await mkdtemp(join(cacheFolder(), 'building-'))
  try {
    console.error(`building ${tool.module}@${tool.version}`)
    const env = { ...process.env, GOBIN: building, CGO_ENABLED: '0', GOFLAGS: '-trimpath' }
    const command = ['go', 'install', `${tool.module}@${tool.version}`]
    await runCommand(command, { cwd: building, env, secondsMax: buildSecondsMax })
    await rm(folder, { recursive: true, force: true })
    await rename(building, folder)
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return path
}

/** Installs Debian packages without starting the services that some of them bring. */
async function installPackages(packages: string[]): Promise<void> {
  console.error(`installing ${packages.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const policy = '/usr/sbin/policy-rc.d'
  const ours = !existsSync(policy)
  await mkdir(dirname(policy), { recursive: true })
  if (ours) await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await runCommand(['apt-get', 'update'], { env, secondsMax: buildSecondsMax })
    const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages]
    await runCommand(install, { env, secondsMax: buildSecondsMax })
  } finally {
    if (ours) await rm(policy)
  }
}
