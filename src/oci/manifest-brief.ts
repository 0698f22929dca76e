import { type ArtifactTraits, artifactTraits } from './artifact-kind.ts'
import { type HistoryEntry, type ImageConfig, parseLeniently, readImageConfig } from './image-config.ts'
import { type ManifestParts, type Part, readParts } from './manifest.ts'

/** How many entries of each list and annotations of each part are shown. */
const ENTRIES_MAX = 1000
const ANNOTATIONS_MAX = 200

/** How many characters of one text, and of all texts together, are shown. */
const TEXT_MAX = 4096
const TEXTS_MAX = 512 * 1024

/** What people are shown of a manifest. Its size is bounded, however large the manifest is. */
export interface ManifestBrief
  extends Pick<ManifestParts, 'config' | 'layers' | 'children' | 'history' | 'artifactType'> {
  annotations: Record<string, string>
  /** What its kind is derived from. */
  traits: ArtifactTraits
  /** For Docker schema 1, which has no config. */
  image: ImageConfig | undefined
  /** The number of layers, even if the list is truncated. */
  layerCount: number
  /** Whether something was truncated. */
  truncated: boolean
}

/** Reads what people are shown of a manifest. Malformed parts are left out. */
export function manifestBrief(bytes: Uint8Array, mediaType: string): ManifestBrief {
  const cut = new Cut()
  const parts = readParts(bytes)
  const traits = artifactTraits(parts.document, mediaType)
  const brief = {
    annotations: cut.texts(parts.annotations ?? {}),
    config: parts.config && cut.part(parts.config),
    layers: cut.list(parts.layers).map((part) => cut.part(part)),
    children: cut.list(parts.children).map((part) => cut.part(part)),
    history: cut.history(parts.history),
    artifactType: parts.artifactType,
    traits: {
      ...traits,
      entryTypes: cut.names(traits.entryTypes),
      labels: cut.names(traits.labels),
      platforms: cut.names(traits.platforms),
    },
    image: parts.image && cut.image(readImageConfig(parts.image)),
    layerCount: parts.layers.length,
  }
  return { ...brief, truncated: cut.truncated }
}

/** What people are shown of an image's config. */
export type ImageBrief = { image: ImageConfig; truncated: boolean }

export function imageBrief(bytes: Uint8Array): ImageBrief {
  const cut = new Cut()
  const image = cut.image(readImageConfig(parseLeniently(bytes)))
  return { image, truncated: cut.truncated }
}

/** Truncates what exceeds the limits, and remembers whether anything was truncated. */
class Cut {
  truncated = false
  private left = TEXTS_MAX

  list<T>(items: readonly T[], max = ENTRIES_MAX): T[] {
    if (items.length > max) this.truncated = true
    return items.slice(0, max)
  }

  /** Returns each name once. */
  names(all: readonly string[]): string[] {
    return this.list([...new Set(all)]).map((name) => this.text(name))
  }

  text(text: string): string {
    const length = Math.min(TEXT_MAX, this.left, text.length)
    if (length < text.length) this.truncated = true
    this.left -= length
    return text.slice(0, length)
  }

  optional(text: string | undefined): string | undefined {
    return text === undefined ? undefined : this.text(text)
  }

  texts(all: Readonly<Record<string, string>>): Record<string, string> {
    const texts: Record<string, string> = {}
    for (const [name, value] of this.list(Object.entries(all), ANNOTATIONS_MAX)) {
      if (this.left === 0) {
        this.truncated = true
        break
      }
      texts[this.text(name)] = this.text(value)
    }
    return texts
  }

  part(part: Part): Part {
    return { ...part, annotations: this.texts(part.annotations) }
  }

  history(entries: readonly HistoryEntry[]): HistoryEntry[] {
    return this.list(entries).map((entry) => ({
      ...entry,
      createdBy: this.optional(entry.createdBy),
      author: this.optional(entry.author),
      comment: this.optional(entry.comment),
    }))
  }

  image(image: ImageConfig): ImageConfig {
    const texts = (all: readonly string[]) => this.list(all).map((text) => this.text(text))
    return {
      ...image,
      author: this.optional(image.author),
      labels: this.texts(image.labels),
      entrypoint: texts(image.entrypoint),
      command: texts(image.command),
      environment: texts(image.environment),
      user: this.optional(image.user),
      workingDirectory: this.optional(image.workingDirectory),
      ports: texts(image.ports),
      volumes: texts(image.volumes),
      history: this.history(image.history),
    }
  }
}
