import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dir, '..', '..')

/** A code block of the documentation. */
export interface Block {
  /** `README.md`, or a path like `docs/limits.md`. */
  page: string
  /** The heading above it. */
  section: string
  /** `sh`, `toml`, ... */
  language: string
  text: string
  /** Its first line, by which it is known. */
  name: string
}

/** Returns every code block of README.md and docs/, in the order in which they are read. */
export async function readBlocks(): Promise<Block[]> {
  const docs = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md')).sort()
  const pages = ['README.md', ...docs.map((name) => `docs/${name}`)]
  const blocks = pages.map(async (page) => parseBlocks(page, await Bun.file(join(root, page)).text()))
  return (await Promise.all(blocks)).flat()
}

/** Returns a title for a block: where it is, and its first command. */
export function titleOf({ page, section, name }: Block): string {
  return `${page}, ${section}: ${name.replace(/\s+#.*/, '')}`
}

/** Returns the code blocks of a page. */
function parseBlocks(page: string, text: string): Block[] {
  const blocks: Block[] = []
  let section = ''
  for (const part of text.matchAll(/^#+ (?<heading>.+)$|^```(?<language>\S*)\n(?<text>[\s\S]*?)^```$/gm)) {
    const { heading, language = '', text: code = '' } = part.groups ?? {}
    if (heading !== undefined) section = heading
    else blocks.push({ page, section, language, text: code, name: code.split('\n')[0]?.trim() ?? '' })
  }
  return blocks
}
