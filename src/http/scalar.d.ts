/** Scalar's script, imported as a file: the path is on disk or inside the executable. */
declare module '*/standalone.js' {
  const path: string
  export default path
}
