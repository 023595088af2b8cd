// Loaded by mocha after PouchDB's own set-up, for the tests that are known to fail.
//
// The suite ends altogether at the first promise whose rejection nobody handles. Here that fails the test that is
// running; what comes of a test that has failed already is no news.
let test;
exports.mochaHooks = {
  beforeEach() {
    test = this.currentTest;
  },
};
testUtils.addUnhandledRejectionListener = () => {};
testUtils.removeUnhandledRejectionListener = () => {};
process.on('unhandledRejection', (error) => {
  if (!test?.isFailed()) {
    throw error;
  }
});
