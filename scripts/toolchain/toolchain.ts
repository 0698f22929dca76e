import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { runCommand } from '../lib/command.ts'

const installSecondsMax = 1800

/** A tool from a Debian package, in the version of this Debian. */
interface DebianTool {
  package: string
  path: string
}

/** A tool that is built into the cache from a Go package, at the version of its module. */
interface GoTool {
  module: string
  version: string
  /** The module of the package, where `go install` refuses it for what its go.mod replaces or excludes. */
  refused?: string
  tags?: string
  /** Files that a refused module leaves out, by their path in it. */
  files?: Record<string, string>
}

/** A command of a Python distribution of PyPI, which gets a virtual environment of its own in the cache. */
interface PythonTool {
  distribution: string
  version: string
  /** An optional part of the distribution. */
  extra?: string
}

type Tool = GoTool | DebianTool | PythonTool

/** The tools that cay is tested with and compared to: their versions, and how to install them. */
export const tools = {
  conformance: {
    module: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
  },
  crane: { module: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  oras: { module: 'oras.land/oras/cmd/oras', version: 'v1.3.6' },
  helm3: { module: 'helm.sh/helm/v3/cmd/helm', version: 'v3.22.0' },
  helm4: { module: 'helm.sh/helm/v4/cmd/helm', version: 'v4.3.1' },
  conftest: { module: 'github.com/open-policy-agent/conftest', version: 'v0.71.1' },
  opa: { module: 'github.com/open-policy-agent/opa', version: 'v1.22.2' },
  regctl: { module: 'github.com/regclient/regclient/cmd/regctl', version: 'v0.11.7' },
  cosign2: { module: 'github.com/sigstore/cosign/v2/cmd/cosign', version: 'v2.6.5' },
  cosign3: { module: 'github.com/sigstore/cosign/v3/cmd/cosign', version: 'v3.1.3' },
  notation: {
    module: 'github.com/notaryproject/notation/cmd/notation',
    version: 'v1.3.2',
    refused: 'github.com/notaryproject/notation',
  },
  syft: { module: 'github.com/anchore/syft/cmd/syft', version: 'v1.57.0' },
  opm: {
    module: 'github.com/operator-framework/operator-registry/cmd/opm',
    version: 'v1.60.0',
    refused: 'github.com/operator-framework/operator-registry',
    tags: 'containers_image_openpgp',
  },
  flux: {
    module: 'github.com/fluxcd/flux2/v2/cmd/flux',
    version: 'v2.9.5',
    refused: 'github.com/fluxcd/flux2/v2',
    // What it installs into a cluster is generated, and embedded; pushing and pulling need none of it.
    files: { 'cmd/flux/manifests/none.yaml': '' },
  },
  'wasm-to-oci': {
    module: 'github.com/engineerd/wasm-to-oci/cmd',
    version: 'v0.1.2',
    refused: 'github.com/engineerd/wasm-to-oci',
  },
  buildkitd: {
    module: 'github.com/moby/buildkit/cmd/buildkitd',
    version: 'v0.34.2',
    refused: 'github.com/moby/buildkit',
  },
  buildctl: {
    module: 'github.com/moby/buildkit/cmd/buildctl',
    version: 'v0.34.2',
    refused: 'github.com/moby/buildkit',
  },
  kubeconform: { module: 'github.com/yannh/kubeconform/cmd/kubeconform', version: 'v0.8.0' },
  buildx: { module: 'github.com/docker/buildx/cmd/buildx', version: 'v0.38.2' },
  registry: { module: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  docker: { package: 'docker.io', path: '/usr/bin/docker' },
  dockerd: { package: 'docker.io', path: '/usr/sbin/dockerd' },
  gpg: { package: 'gnupg', path: '/usr/bin/gpg' },
  containerd: { package: 'containerd', path: '/usr/bin/containerd' },
  skopeo: { package: 'skopeo', path: '/usr/bin/skopeo' },
  podman: { package: 'podman', path: '/usr/bin/podman' },
  buildah: { package: 'buildah', path: '/usr/bin/buildah' },
  slirp4netns: { package: 'slirp4netns', path: '/usr/bin/slirp4netns' },
  newuidmap: { package: 'uidmap', path: '/usr/bin/newuidmap' },
  mmdebstrap: { package: 'mmdebstrap', path: '/usr/bin/mmdebstrap' },
  nspawn: { package: 'systemd-container', path: '/usr/bin/systemd-nspawn' },
  rpmbuild: { package: 'rpm', path: '/usr/bin/rpmbuild' },
  minisign: { package: 'minisign', path: '/usr/bin/minisign' },
  runc: { package: 'runc', path: '/usr/sbin/runc' },
  ip: { package: 'iproute2', path: '/usr/sbin/ip' },
  wrk: { package: 'wrk', path: '/usr/bin/wrk' },
  curl: { package: 'curl', path: '/usr/bin/curl' },
  strace: { package: 'strace', path: '/usr/bin/strace' },
  'qemu-aarch64': { package: 'qemu-user', path: '/usr/bin/qemu-aarch64' },
  'docker-registry': { package: 'docker-registry', path: '/usr/bin/docker-registry' },
  nginx: { package: 'nginx-light', path: '/usr/sbin/nginx' },
  caddy: { package: 'caddy', path: '/usr/bin/caddy' },
  'fail2ban-regex': { package: 'fail2ban', path: '/usr/bin/fail2ban-regex' },
  chromium: { package: 'chromium', path: '/usr/bin/chromium' },
  cyclonedx: { distribution: 'cyclonedx-python-lib', extra: 'json-validation', version: '11.12.0' },
  'podman-compose': { distribution: 'podman-compose', version: '1.6.0' },
  schemathesis: { distribution: 'schemathesis', version: '4.32.5' },
} satisfies Record<string, Tool>

export type ToolName = keyof typeof tools

/**
 * Installs tools that are missing, and returns the paths of their executables by name. Debian packages need root.
 */
export async function bringTools(names: ToolName[]): Promise<Record<string, string>> {
  const rows = names.map((name): [ToolName, Tool] => [name, tools[name]])
  const missing = rows.flatMap(([, tool]) =>
    'package' in tool && !existsSync(tool.path) ? [tool.package] : [],
  )
  if (missing.length > 0) await installPackages([...new Set(missing)])
  const paths: Record<string, string> = {}
  for (const [name, tool] of rows) paths[name] = await bring(tool)
  return paths
}

/** The folder where built tools are kept between runs, one folder for each name and version. */
export function cacheFolder(): string {
  return process.env.CAY_CLIENTS_CACHE ?? join(homedir(), '.cache', 'cay-clients')
}

/** Returns the folder of a module's files, which Go keeps. */
export async function goModule(module: string, version: string): Promise<string> {
  return JSON.parse(await go('/', ['mod', 'download', '-json', `${module}@${version}`])).Dir
}

/** `toolchain [name...]`: installs the named tools, or all, and prints their paths. */
export async function run(args: string[]): Promise<void> {
  const isTool = (name: string): name is ToolName => name in tools
  const unknown = args.filter((name) => !isTool(name))
  if (unknown.length > 0) throw new Error(`unknown tools: ${unknown.join(', ')}`)
  const names = (args.length > 0 ? args : Object.keys(tools)).filter(isTool)
  for (const [name, path] of Object.entries(await bringTools(names))) console.log(`${name} ${path}`)
}

function bring(tool: Tool): string | Promise<string> {
  if ('package' in tool) return tool.path
  return 'module' in tool ? bringGoTool(tool) : bringPythonTool(tool)
}

/** Installs Debian packages without starting their services. */
async function installPackages(packages: string[]): Promise<void> {
  console.error(`installing ${packages.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const policy = '/usr/sbin/policy-rc.d'
  const ours = !existsSync(policy)
  await mkdir(dirname(policy), { recursive: true })
  if (ours) await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await runCommand(['apt-get', 'update'], { env, secondsMax: installSecondsMax })
    const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages]
    await runCommand(install, { env, secondsMax: installSecondsMax })
  } finally {
    if (ours) await rm(policy)
  }
}

/**
 * Builds a tool if it is missing, and returns the path of its executable.
 * @throws CommandError with the output of Go, if it cannot be built.
 */
async function bringGoTool(tool: GoTool): Promise<string> {
  const binary = binaryOf(tool.module)
  const folder = join(cacheFolder(), `${binary}-${tool.version}`)
  const path = join(folder, binary)
  if (existsSync(path)) return path
  await mkdir(cacheFolder(), { recursive: true })
  const building = await mkdtemp(join(cacheFolder(), 'building-'))
  try {
    console.error(`building ${tool.module}@${tool.version}`)
    const binaries = join(building, 'bin')
    await mkdir(binaries)
    await (tool.refused === undefined ? install : buildCopy)(tool, building, join(binaries, binary))
    await rm(folder, { recursive: true, force: true })
    await rename(binaries, folder)
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return path
}

/** The last part of a package's path that names it, as Go names most executables. */
function binaryOf(path: string): string {
  const parts = path.split('/')
  return parts.findLast((part) => !/^(v\d+|cmd)$/.test(part)) ?? path
}

async function install(tool: GoTool, folder: string, path: string): Promise<void> {
  await go(folder, ['install', ...tagsOf(tool), `${tool.module}@${tool.version}`], join(path, '..'))
}

/** Builds a package in a copy of its module. The copy is the main module, so its go.mod applies. */
async function buildCopy(tool: GoTool, folder: string, path: string): Promise<void> {
  const { module, version, refused = module } = tool
  const source = await goModule(refused, version)
  const copy = join(folder, 'source')
  await runCommand(['cp', '--recursive', '--no-preserve=mode', source, copy])
  for (const [name, text] of Object.entries(tool.files ?? {})) await Bun.write(join(copy, name), text)
  await go(copy, ['build', ...tagsOf(tool), '-o', path, `.${module.slice(refused.length)}`])
}

function tagsOf({ tags }: GoTool): string[] {
  return tags === undefined ? [] : ['-tags', tags]
}

async function go(folder: string, args: string[], binaries?: string): Promise<string> {
  // Linking takes half as long without debug information.
  const flags = { CGO_ENABLED: '0', GOFLAGS: '-trimpath -ldflags=-w' }
  const env = { ...process.env, ...flags, ...(binaries !== undefined && { GOBIN: binaries }) }
  return await runCommand(['go', ...args], { cwd: folder, env, secondsMax: installSecondsMax })
}

/**
 * Installs a tool if it is missing, and returns the path of its command.
 * @throws CommandError with the output of pip, if it cannot be installed.
 */
async function bringPythonTool({ distribution, version, extra }: PythonTool): Promise<string> {
  const folder = join(cacheFolder(), `${distribution}-${version}`)
  const path = join(folder, 'bin', distribution)
  const complete = join(folder, 'complete')
  if (existsSync(complete)) return path
  console.error(`installing ${distribution} ${version}`)
  await rm(folder, { recursive: true, force: true })
  await mkdir(cacheFolder(), { recursive: true })
  // The files of an environment contain its path, so it cannot be moved into place when it is complete.
  await runCommand(['python3', '-m', 'venv', folder], { secondsMax: installSecondsMax })
  const pip = [join(folder, 'bin', 'pip'), 'install', '--quiet', '--no-input', '--disable-pip-version-check']
  const wanted = `${distribution}${extra ? `[${extra}]` : ''}==${version}`
  await runCommand([...pip, wanted], { secondsMax: installSecondsMax })
  await Bun.write(`${complete}.new`, '')
  await rename(`${complete}.new`, complete)
  return path
}
