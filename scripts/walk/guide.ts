import { readBlocks } from '../readme/blocks.ts'

/** A text that names commands. The walk types the commands as it prints them. */
export interface Guide {
  name: 'readme' | 'help'
  /**
   * Returns the command that begins with these words.
   * @throws Error if the text has none
   */
  command(begins: string): string
  /** Returns all commands of the paragraph with the command that begins with these words. */
  block(begins: string): string[]
}

/** README.md: the lines of its code blocks, without their comments. */
export async function readmeGuide(): Promise<Guide> {
  const blocks = (await readBlocks()).filter(
    ({ page, language }) => page === 'README.md' && /^(sh|console)$/.test(language),
  )
  return guide(
    'readme',
    blocks.map(({ text }) => text.split('\n').map((line) => line.replace(/^\$ /, '').replace(/\s+#.*/, ''))),
  )
}

/** What `cay help` prints: paragraphs of commands, which two spaces separate from what they do. */
export function helpGuide(text: string): Guide {
  return guide(
    'help',
    text
      .split('\n\n')
      .map((paragraph) => paragraph.split('\n').map((line) => line.trim().replace(/ {2,}.*/, ''))),
  )
}

function guide(name: Guide['name'], paragraphs: string[][]): Guide {
  const blocks = paragraphs.map((lines) => lines.map((line) => line.trim()).filter((line) => line !== ''))
  const find = (begins: string) => {
    const isWhole = (line: string) => line === begins
    const isBegun = (line: string) => line.startsWith(begins)
    for (const matches of [isWhole, isBegun]) {
      const block = blocks.find((lines) => lines.some(matches))
      const command = block?.find(matches)
      if (block !== undefined && command !== undefined) return { block, command }
    }
    throw new Error(`${name}: no command begins with "${begins}"`)
  }
  return { name, command: (begins) => find(begins).command, block: (begins) => find(begins).block }
}
