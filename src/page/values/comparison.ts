import type { Answer } from '../server/api.ts'

type Manifest = Answer<'repositories/:repository/manifests/:reference'>
type Layer = Manifest['layers'][number]

/** A name whose values differ. */
export interface Difference {
  name: string
  /** Undefined if only the other side has it. */
  from: string | undefined
  to: string | undefined
}

export interface Comparison {
  sharedLayers: Layer[]
  removedLayers: Layer[]
  addedLayers: Layer[]
  config: Difference[]
  labels: Difference[]
  /** The platforms of indexes, with their digests. */
  platforms: Difference[]
}

/** Compares two manifests: what both have, and what only one of them has. */
export function compare(from: Manifest, to: Manifest): Comparison {
  const [fromDigests, toDigests] = [from, to].map(({ layers }) => new Set(layers.map(({ digest }) => digest)))
  return {
    sharedLayers: to.layers.filter(({ digest }) => fromDigests?.has(digest)),
    removedLayers: from.layers.filter(({ digest }) => !toDigests?.has(digest)),
    addedLayers: to.layers.filter(({ digest }) => !fromDigests?.has(digest)),
    config: differences(configOf(from), configOf(to)),
    labels: differences({ ...from.annotations, ...from.labels }, { ...to.annotations, ...to.labels }),
    platforms: differences(platformsOf(from), platformsOf(to)),
  }
}

type Texts = Record<string, string>

function differences(from: Texts, to: Texts): Difference[] {
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort()
  return names.flatMap((name) => (from[name] === to[name] ? [] : [{ name, from: from[name], to: to[name] }]))
}

/** Returns how containers run, each environment variable by its own name. */
function configOf({ image }: Manifest): Texts {
  if (image === undefined) return {}
  const { entrypoint, command, environment, user, workingDirectory, ports, volumes, createdAt, platform } =
    image
  const texts = {
    Created: createdAt,
    Platform: platform && `${platform.os}/${platform.architecture}`,
    Entrypoint: entrypoint.join(' '),
    Command: command.join(' '),
    User: user,
    'Working directory': workingDirectory,
    Ports: ports.join(', '),
    Volumes: volumes.join(', '),
    ...Object.fromEntries(
      environment.map((line) => [`$${line.split('=', 1)[0]}`, line.slice(line.indexOf('=') + 1)]),
    ),
  }
  return Object.fromEntries(Object.entries(texts).flatMap(([name, text]) => (text ? [[name, text]] : [])))
}

function platformsOf({ manifests }: Manifest): Texts {
  return Object.fromEntries(
    manifests.flatMap(({ platform, digest }) =>
      platform && platform.os !== 'unknown'
        ? [[[platform.os, platform.architecture, platform.variant].filter(Boolean).join('/'), digest]]
        : [],
    ),
  )
}
