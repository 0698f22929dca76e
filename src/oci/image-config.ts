import { type Json, objectOf, objectsOf, stringOf, stringsOf, textsOf, timeOf } from './lenient-json.ts'

/** The platform that an image is for (image-spec, "Image Index": `platform`). */
export interface Platform {
  os: string
  architecture: string
  variant: string | undefined
  osVersion: string | undefined
}

/** A step that created a layer or changed only the config (image-spec, "Image Configuration": `history`). */
export interface HistoryEntry {
  createdAt: string | undefined
  /** The command, without the prefix that the classic builder adds. */
  createdBy: string | undefined
  author: string | undefined
  comment: string | undefined
  /** Whether the step has no layer. */
  isEmpty: boolean
}

/** The parts of an image's config that people are shown. */
export interface ImageConfig {
  platform: Platform | undefined
  createdAt: string | undefined
  author: string | undefined
  labels: Record<string, string>
  entrypoint: string[]
  command: string[]
  environment: string[]
  user: string | undefined
  workingDirectory: string | undefined
  ports: string[]
  volumes: string[]
  history: HistoryEntry[]
}

/** Reads the config of an image, or the V1 image of Docker schema 1. Malformed parts are left out. */
export function readImageConfig(document: Json): ImageConfig {
  const config = objectOf(document.config)
  return {
    platform: platformOf(document),
    createdAt: timeOf(document.created),
    author: stringOf(document.author),
    labels: textsOf(config.Labels),
    entrypoint: stringsOf(config.Entrypoint),
    command: stringsOf(config.Cmd),
    environment: stringsOf(config.Env),
    user: stringOf(config.User),
    workingDirectory: stringOf(config.WorkingDir),
    ports: Object.keys(objectOf(config.ExposedPorts)),
    volumes: Object.keys(objectOf(config.Volumes)),
    history: objectsOf(document.history).map(historyEntry),
  }
}

/** Returns the platform in an index's entry or a config. Undefined for `unknown`, which attestations have. */
export function platformOf(document: Json): Platform | undefined {
  const os = stringOf(document.os)
  const architecture = stringOf(document.architecture)
  if (os === undefined || architecture === undefined || os === 'unknown') return undefined
  const [variant, osVersion] = [stringOf(document.variant), stringOf(document['os.version'])]
  return { os, architecture, variant, osVersion }
}

/** Reads an entry of a Docker schema 1 history: a V1 image with its command in its config. */
export function readV1History(image: Json): HistoryEntry {
  const createdBy = stringsOf(objectOf(image.container_config).Cmd).join(' ')
  return {
    ...historyEntry({ ...image, created_by: createdBy }),
    isEmpty: image.throwaway === true,
  }
}

function historyEntry(entry: Json): HistoryEntry {
  return {
    createdAt: timeOf(entry.created),
    createdBy: stringOf(commandOf(stringOf(entry.created_by) ?? '')),
    author: stringOf(entry.author),
    comment: stringOf(entry.comment),
    isEmpty: entry.empty_layer === true,
  }
}

/** Turns `/bin/sh -c #(nop)  CMD ["sh"]` into `CMD ["sh"]`, and `/bin/sh -c make` into `RUN make`. */
function commandOf(text: string): string {
  const nop = /^\/bin\/sh -c #\(nop\)\s*/.exec(text)
  if (nop) return text.slice(nop[0].length).trim()
  const shell = /^\/bin\/sh -c\s+/.exec(text)
  return shell ? `RUN ${text.slice(shell[0].length).trim()}` : text.trim()
}
