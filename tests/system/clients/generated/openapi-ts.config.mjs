export default {
  input: "openapi.json",
  output: { path: "hey-api", importFileExtension: ".js" }, // as moduleResolution "nodenext" wants it
};
