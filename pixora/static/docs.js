// Starts Swagger UI. A file of its own, because the Content-Security-Policy forbids inline scripts.

// There are no client secrets here, and docs.css hides their fields. Swagger UI would send them in an Authorization header
// nevertheless, empty.
const withoutClientCredentials = () => ({
  statePlugins: {
    auth: {
      wrapActions: { authorizePassword: (authorize) => (form) => authorize({ ...form, passwordType: "request-body" }) },
    },
  },
});

SwaggerUIBundle({
  url: document.currentScript.dataset.openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true, // over a reload
  plugins: [withoutClientCredentials],
  defaultModelsExpandDepth: 0, // operations show their schemas
  validatorUrl: null, // the default sends the document to a service on the Internet
});
