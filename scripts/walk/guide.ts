import { blocksOf, commandsOf, readPages } from '../../test/support/documentation.ts'

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

/** README.md and docs/: the commands of their code blocks, without comments. Each page comes before README.md's excerpt of it. */
export async function readmeGuide(): Promise<Guide> {
  const [readme, ...docs] = await readPages()
  const blocks = blocksOf([...docs, ...(readme ? [readme] : [])])
  return guide(
    'readme',
    blocks
      .filter(({ language }) => /^(sh|console)$/.test(language))
      .map((block) =>
        commandsOf(block)
          .split('\n')
          .map((line) => line.replace(/\s+#.*/, '')),
      ),
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
