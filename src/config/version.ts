import { version } from '../../package.json'

/** The commit that the executable was built from, put in place by scripts/build.ts. */
declare const CAY_COMMIT: string | undefined

/** The release, for example `0.1.0`. */
export { version }

/** The commit it was built from, with `-dirty` when files differed from it; `source` when it runs from source. */
export const commit = typeof CAY_COMMIT === 'string' ? CAY_COMMIT : 'source'
