import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'

const buildSecondsMax = 1800

/** A tool that is built into the cache from a Go package, at the version of its module. */
export interface GoTool {
  module: string
  version: string
  /** The module of the package, where `go install` refuses it for what its go.mod replaces or excludes. */
  refused?: string
  tags?: string
  /** Files that a refused module leaves out, by their path in it. */
  files?: Record<string, string>
}

/**
 * Builds a tool if it is missing, and returns the path of its executable.
 * @throws CommandError with the output of Go, if it cannot be built.
 */
export async function bringGoTool(tool: GoTool): Promise<string> {
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

/** Returns the folder of a module's files, which Go keeps. */
export async function goModule(module: string, version: string): Promise<string> {
  return JSON.parse(await go('/', ['mod', 'download', '-json', `${module}@${version}`])).Dir
}

/** The folder where built tools are kept between runs, one folder for each name and version. */
export function cacheFolder(): string {
  return process.env.CAY_CLIENTS_CACHE ?? join(homedir(), '.cache', 'cay-clients')
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
  return await runCommand(['go', ...args], { cwd: folder, env, secondsMax: buildSecondsMax })
}
