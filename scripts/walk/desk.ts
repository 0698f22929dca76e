import type { Guide } from './guide.ts'
import { REGISTRY } from './network.ts'
import type { Terminal, Transcript } from './transcript.ts'

/** The password that the owner and the users choose. */
export const PASSWORD = 'correct-horse-battery'

/** The registry as other hosts name it. */
export const ADDRESS = `${REGISTRY}:5000`

/** The guide, and the terminals on which the walk types: two on the server, one of which serves. */
export interface Desk {
  guide: Guide
  transcript: Transcript
  serving: Terminal
  server: Terminal
  laptop: Terminal
  ci: Terminal
}
