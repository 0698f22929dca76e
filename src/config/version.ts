import { version } from '../../package.json'

/** The commit that the executable was built from; scripts/build.ts sets it. */
declare const CAY_COMMIT: string | undefined

/** The release, for example `0.1.0`. */
export { version }

/** The commit it was built from, with `-dirty` if files were changed; `source` if it runs from source. */
export const commit = typeof CAY_COMMIT === 'string' ? CAY_COMMIT : 'source'
