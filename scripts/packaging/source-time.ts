/** Returns when the source was committed, in seconds since 1970; `SOURCE_DATE_EPOCH` overrides it, and 0 is unknown. */
export function sourceSeconds(): number {
  const given = process.env.SOURCE_DATE_EPOCH
  if (given !== undefined) return Number(given)
  try {
    const { stdout } = Bun.spawnSync(['git', 'log', '-1', '--format=%ct'], {
      cwd: import.meta.dir,
      stderr: 'ignore',
    })
    return Number(stdout.toString().trim())
  } catch {
    return 0
  }
}
