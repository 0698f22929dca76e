/** A setting is invalid; the message names it in the form in which it was written. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}
